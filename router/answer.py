"""The tokens of an answer that reach the client."""

from collections import deque

from cascade.v1 import expert_pb2, law_pb2
from cascade.v1 import router_pb2 as pb

from router.request import Request
from router.text import AnswerText, Released


class Answer:
    """Takes the tokens that were decided; applies text, stops and limits to them, in order."""

    def __init__(self, request: Request, text: AnswerText) -> None:
        self._request = request
        self._text = text
        self._held: deque[tuple[expert_pb2.EmittedToken, bool]] = deque()
        self._decided = 0
        # Of a mode with blocks: what the expert decodes alone there follows p.
        blocks = (law_pb2.MODE_SPECULATIVE, law_pb2.MODE_SPECULATIVE_CASCADE)
        lossless = request.law.rule == law_pb2.RULE_LOSSLESS
        self._changes_law = request.law.mode in blocks and not lossless
        self._delivered = 0
        self._end_token_id: int | None = None
        self.reason = pb.FINISH_REASON_UNSPECIFIED
        """Why the answer ended; unspecified while it goes on."""

    def take(
        self, emitted: list[expert_pb2.EmittedToken], *, other_law: bool = False
    ) -> list[pb.GeneratedToken]:
        """Takes a round's tokens; gives those whose text is final.  An earlier stop comes first.

        Args:
            emitted: the tokens.
            other_law: whether one model made them alone, and so not as the request's law says.
        """
        out: list[pb.GeneratedToken] = []
        for token in emitted:
            if token.id in self._request.final_token_ids:
                self._end_token_id = token.id
                own = token.id in self._request.stop_token_ids
                out += self._end(pb.FINISH_REASON_STOP_TOKEN if own else pb.FINISH_REASON_END_TOKEN)
                break
            alone = token.origin == expert_pb2.ORIGIN_EXPERT and self._changes_law
            self._held.append((token, other_law or alone))
            self._decided += 1
            out += self._deliver(self._text.push(token.id))
            if self._text.stop is not None:
                self.reason = pb.FINISH_REASON_STOP_STRING
                break
            if self._decided == self._request.max_tokens:
                out += self._end(pb.FINISH_REASON_MAX_TOKENS)
                break
        return out

    def finished(self) -> pb.Finished:
        """The last message, without statistics."""
        return pb.Finished(
            reason=self.reason,
            end_token_id=self._end_token_id,
            stop_string=self._text.stop,
            usage=pb.Usage(
                prompt_tokens=len(self._request.prompt), completion_tokens=self._delivered
            ),
        )

    def _end(self, reason: pb.FinishReason.ValueType) -> list[pb.GeneratedToken]:
        out = self._deliver(self._text.finish())
        if self._text.stop is not None:  # it was complete only with the answer's end
            reason, self._end_token_id = pb.FINISH_REASON_STOP_STRING, None
        self.reason = reason
        return out

    def _deliver(self, released: list[Released]) -> list[pb.GeneratedToken]:
        out = []
        for token in released:
            source, alone = self._held.popleft()
            out.append(
                pb.GeneratedToken(
                    id=token.token_id,
                    text=token.text,
                    origin=source.origin,
                    log_probs=source.log_probs if source.HasField("log_probs") else None,
                    alone=alone,
                )
            )
        self._delivered += len(out)
        return out
