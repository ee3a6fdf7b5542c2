"""Verifying a block: one pass for all of its tokens."""

import math
from collections.abc import Callable

import torch
from cascade.v1 import expert_pb2 as pb
from torch import Tensor

from services.engine.engine import Feed, Session, Step
from services.engine.model import ModelFacts
from services.errors import CascadeError, InvalidField
from services.expert.base import rebase_or_stale
from services.expert.block import check_block, to_drafts
from services.pod.law import SessionLaw
from services.pod.stream import check_length, check_tokens
from services.pod.timing import to_proto
from services.rules.acceptance import Verdicts, verify

_MODELS = ("drafter", "expert", "target")


class VerifyStep(Step):
    """Truncate, append, score the block in one pass, accept or reject."""

    def __init__(
        self,
        request: pb.VerifyStep,
        facts: ModelFacts,
        law: SessionLaw,
        end_token_ids: frozenset[int],
        emit: Callable[[pb.Verdict | CascadeError], None],
        *,
        log_probs: bool = False,
    ) -> None:
        """Checks the request.

        Raises:
            InvalidField: a value that can't be, or a block without what its rule needs.
        """
        super().__init__()
        check_tokens("append", list(request.append), facts.vocabulary_size)
        if not law.verifies_blocks:
            raise InvalidField(("verify", "the session's mode has no blocks to verify"))
        check_block(request.block, law, facts.vocabulary_size)
        self._request = request
        self._block = [token.id for token in request.block]
        self._base = request.position + len(request.append)
        self._context_length = facts.context_length
        self._law = law
        # A bonus needs room for one token more.
        self._bonus = law.law.allows_bonus and self._base + len(self._block) < facts.context_length
        self._end_token_ids = end_token_ids
        self._emit = emit
        self._log_probs = log_probs
        self._verdict = pb.Verdict(step_id=request.step_id, position=self._base)

    def begin(self, session: Session) -> bool:
        """Truncates and appends, unless the block is stale."""
        request = self._request
        check_length("block", self._base + len(self._block), self._context_length)
        if not rebase_or_stale(
            session, request.position, list(request.append), request.prefix_hash
        ):
            self._verdict.stale = True
            self._send()
            return False
        if not self._block and session.slot.length == self._base:
            self._send()
            return False
        return True

    def feed(self, session: Session) -> Feed:
        """What the model has not seen, and the block; its last token only if a bonus may follow."""
        if not self._block:
            return Feed(session.unseen(), rows=0)
        n = len(self._block)
        fed = self._block if self._bonus else self._block[:-1]
        return Feed(session.unseen() + fed, rows=n + self._bonus)

    def take(self, session: Session, logits: Tensor) -> bool:
        """Accepts or rejects, by one copy from the device."""
        if self._block:
            self._decide(session, logits)
        self._send()
        return True

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)

    def _decide(self, session: Session, logits: Tensor) -> None:
        device, law, n = logits.device, self._law, len(self._block)
        verdicts = verify(
            law.law,
            logits.unsqueeze(0),
            to_drafts(self._request.block, law.law.crossing, device),
            law.seeds,
            torch.tensor([self._base], device=device),
            bonus=self._bonus,
            log_probs=self._log_probs,
        )
        accepted, token, trusted, distance, log_probs = _to_host(verdicts, n)
        emitted = self._verdict.tokens
        for j in range(accepted):
            emitted.add(
                id=self._block[j],
                origin=pb.ORIGIN_TRUSTED if trusted[j] else pb.ORIGIN_ACCEPTED,
                distance=distance[j],
            )
            if self._block[j] in self._end_token_ids:
                accepted = j + 1
                token = -1
                break
        if token >= 0 and accepted < n:
            emitted.add(id=token, origin=pb.ORIGIN_RESAMPLED, distance=distance[accepted])
        elif token >= 0:
            emitted.add(id=token, origin=pb.ORIGIN_BONUS)
        for out, row in zip(emitted, log_probs, strict=False):
            known = [None if math.isnan(value) else value for value in row]
            out.log_probs.CopyFrom(pb.TokenLogProbs(**dict(zip(_MODELS, known, strict=True))))
        self._verdict.accepted = accepted
        session.tokens.extend(t.id for t in emitted)
        session.slot.truncate(self._base + accepted)

    def _send(self) -> None:
        self._verdict.timing.CopyFrom(to_proto(self.timing))
        self._emit(self._verdict)


def _to_host(
    verdicts: Verdicts, n: int
) -> tuple[int, int, list[float], list[float | None], list[list[float]]]:
    """One session's verdicts by one copy from the device; what can't be known is None."""
    log_probs = verdicts.log_probs
    parts = [verdicts.accepted, verdicts.token, verdicts.trusted[0], verdicts.distance[0]]
    if log_probs is not None:
        parts.append(log_probs[0].flatten())
    host = torch.cat([part.double() for part in parts]).tolist()
    distance = [None if math.isnan(d) else d for d in host[2 + n : 2 + 2 * n]]
    rest = host[2 + 2 * n :]
    rows = [rest[i : i + len(_MODELS)] for i in range(0, len(rest), len(_MODELS))]
    return int(host[0]), int(host[1]), host[2 : 2 + n], distance, rows
