"""Verifying a block: one pass for all of its tokens."""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Self

import torch
from cascade.v1 import expert_pb2 as pb
from torch import Tensor

from services.engine.facts import ModelFacts
from services.engine.session import Session
from services.engine.step import Feed, Step
from services.errors import CascadeError, InvalidField
from services.expert.base import rebase_or_stale
from services.expert.block import CheckedBlock, to_drafts
from services.pod.law import SessionLaw
from services.pod.stream import check_length, check_tokens
from services.pod.timing import to_proto
from services.rules.acceptance import verify

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
        self._drafted = CheckedBlock.read(request.block, law, facts.vocabulary_size)
        self._request = request
        self._block = self._drafted.ids
        self._base = request.position + len(request.append)
        check_length("block", self._base + len(self._block), facts.context_length)
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

    @property
    def group(self) -> Hashable:
        """Blocks of one length and law that a bonus follows, or none."""
        return self._law.kind, len(self._block), self._bonus, self._log_probs

    @classmethod
    def decide(cls, steps: Sequence[Self], logits: Tensor) -> Tensor:
        """Accepts or rejects."""
        first = steps[0]
        law = first._law.law
        verdicts = verify(
            law,
            logits,
            to_drafts([step._drafted for step in steps], logits.device),
            torch.cat([step._law.seeds for step in steps]),
            torch.tensor([step._base for step in steps]),
            bonus=first._bonus,
            log_probs=first._log_probs,
        )
        parts = [verdicts.accepted.unsqueeze(-1), verdicts.token.unsqueeze(-1)]
        parts += [verdicts.trusted, verdicts.distance]
        if verdicts.log_probs is not None:
            parts.append(verdicts.log_probs.flatten(1))
        return torch.cat([part.double() for part in parts], -1)  # ids are exact in float64

    def take(self, session: Session, decided: list[float]) -> bool:
        """What became of the block."""
        if self._block:
            self._conclude(session, decided)
        self._send()
        return True

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)

    def _conclude(self, session: Session, decided: list[float]) -> None:
        n = len(self._block)
        accepted, token, rest = int(decided[0]), int(decided[1]), decided[2 + 2 * n :]
        trusted = decided[2 : 2 + n]
        # What can't be known is absent.
        distance = [None if math.isnan(d) else d for d in decided[2 + n : 2 + 2 * n]]
        log_probs = [rest[i : i + len(_MODELS)] for i in range(0, len(rest), len(_MODELS))]
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
