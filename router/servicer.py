"""RouterService: checks a request, runs its strategy, streams the answer."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import structlog
from cascade.v1 import expert_pb2, router_pb2_grpc
from cascade.v1 import router_pb2 as pb

from router.peers import Pair
from router.recorder import Recorder
from router.request import Request, resolve
from router.sessions import GrpcDrafterSession, GrpcExpertSession
from router.strategies import STRATEGIES, Emitted, Task
from router.text import AnswerText, Released
from services.errors import CascadeError
from services.serving.status import abort

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[pb.GenerateRequest, pb.GenerateResponse]


class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """Answers clients with one pair."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        """One answer, streamed."""
        request_id = uuid.uuid4().hex
        try:
            resolved = await asyncio.to_thread(
                resolve,
                request,
                self._pair.tokenizer,
                context_length=self._pair.context_length,
                end_token_ids=self._pair.end_token_ids,
            )
            async for response in self._answer(request_id, resolved, context):
                yield response
        except CascadeError as error:
            log.info("refused", request=request_id, error=type(error).__name__, text=str(error))
            await abort(context, error)

    async def _answer(
        self, request_id: str, request: Request, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        yield pb.GenerateResponse(
            started=pb.Started(
                request_id=request_id,
                law=request.law,
                prompt_tokens=len(request.prompt),
                max_tokens=request.max_tokens,
            )
        )
        mode = STRATEGIES[request.law.mode]
        recorder = Recorder(request.law)
        answer = Answer(request, AnswerText(self._pair.tokenizer, request.stop_strings))
        async with AsyncExitStack() as stack:
            # The deadline reaches both engines; leaving the stack in any way frees both slots.
            remaining = context.time_remaining()
            drafter = expert = None
            if mode.needs_drafter:
                drafter = await GrpcDrafterSession.open(
                    self._pair.drafter.channel, request.law, request.final_token_ids, remaining
                )
                stack.callback(drafter.close)
                recorder.waited(drafter.queue_ms)
            if mode.needs_expert:
                expert = await GrpcExpertSession.open(
                    self._pair.expert.channel, request.law, request.final_token_ids, remaining
                )
                stack.callback(expert.close)
                recorder.waited(expert.queue_ms)
            async for emitted in mode.run(Task(request, recorder, drafter, expert)):
                if tokens := answer.take(emitted):
                    yield pb.GenerateResponse(tokens=pb.GeneratedTokens(tokens=tokens))
                if answer.reason:
                    break
        finished = answer.finished()
        finished.statistics.CopyFrom(
            recorder.statistics(
                (drafter.traffic.up, drafter.traffic.down) if drafter else (0, 0),
                (expert.traffic.up, expert.traffic.down) if expert else (0, 0),
            )
        )
        log.info(
            "finished",
            request=request_id,
            reason=pb.FinishReason.Name(finished.reason),
            prompt_tokens=finished.usage.prompt_tokens,
            completion_tokens=finished.usage.completion_tokens,
            total_ms=round(finished.statistics.total_ms, 1),
        )
        yield pb.GenerateResponse(finished=finished)


class Answer:
    """The tokens that reach the client: text, stops and limits applied in order."""

    def __init__(self, request: Request, text: AnswerText) -> None:
        self._request = request
        self._text = text
        self._held: deque[expert_pb2.EmittedToken] = deque()
        self._decided = 0
        self._delivered = 0
        self._end_token_id: int | None = None
        self.reason = pb.FINISH_REASON_UNSPECIFIED
        """Why the answer ended; unspecified while it goes on."""

    def take(self, emitted: Emitted) -> list[pb.GeneratedToken]:
        """Takes a round's tokens; gives those whose text is final.  An earlier stop comes first."""
        out: list[pb.GeneratedToken] = []
        for token in emitted:
            if token.id in self._request.final_token_ids:
                self._end_token_id = token.id
                own = token.id in self._request.stop_token_ids
                out += self._end(pb.FINISH_REASON_STOP_TOKEN if own else pb.FINISH_REASON_END_TOKEN)
                break
            self._held.append(token)
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
        self.reason = reason
        return self._deliver(self._text.finish())

    def _deliver(self, released: list[Released]) -> list[pb.GeneratedToken]:
        out = []
        for token in released:
            source = self._held.popleft()
            out.append(
                pb.GeneratedToken(
                    id=token.token_id,
                    text=token.text,
                    origin=source.origin,
                    log_probs=source.log_probs if source.HasField("log_probs") else None,
                )
            )
        self._delivered += len(out)
        return out
