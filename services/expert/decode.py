"""Decoding with the expert alone: no network round trip for each token."""

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
from services.pod.law import SessionLaw
from services.pod.stream import check_length, check_tokens
from services.pod.timing import to_proto
from services.rules.distribution import Scaled
from services.rules.noise import Purpose, keys
from services.rules.sampling import sample


class DecodeStep(Step):
    """Truncate, append, then decode until long enough or at an end token."""

    supersedable = True

    def __init__(
        self,
        request: pb.DecodeStep,
        facts: ModelFacts,
        law: SessionLaw,
        end_token_ids: frozenset[int],
        emit: Callable[[pb.DecodedTokens | CascadeError], None],
        *,
        log_probs: bool = False,
    ) -> None:
        """Checks the request.

        Raises:
            InvalidField: a value that can't be.
        """
        super().__init__()
        if request.max_tokens < 1:
            raise InvalidField(("max_tokens", f"must be at least 1, got {request.max_tokens}"))
        check_tokens("append", list(request.append), facts.vocabulary_size)
        self._position = request.position + len(request.append)
        check_length("max_tokens", self._position + request.max_tokens, facts.context_length)
        self._request = request
        self._law = law
        self._end_token_ids = end_token_ids
        self._emit = emit
        self._log_probs = log_probs
        self._decoded = 0
        self._piece = pb.DecodedTokens(step_id=request.step_id, position=self._position)

    def begin(self, session: Session) -> bool:
        """Truncates and appends, unless the step is stale."""
        request = self._request
        if not rebase_or_stale(
            session, request.position, list(request.append), request.prefix_hash
        ):
            self._piece.stale = True
            self._send(last=True)
            return False
        return True

    def feed(self, session: Session) -> Feed:
        """The tokens that the model has not seen; usually the last one decoded."""
        return Feed(session.unseen(), rows=1)

    @property
    def group(self) -> Hashable:
        """Steps of one law."""
        return self._law.kind, self._log_probs

    @classmethod
    def decide(cls, steps: Sequence[Self], logits: Tensor) -> Tensor:
        """Samples each next token: its id and, if asked for, its log-probability."""
        first, logits = steps[0], logits[:, -1]
        positions = torch.tensor([step._position for step in steps])
        seeds = torch.cat([step._law.seeds for step in steps])
        p = Scaled.of(logits, first._law.law.sampling)
        key = keys(seeds, positions, Purpose.EXPERT).to(logits.device, non_blocking=True)
        choice = sample(p, key).unsqueeze(-1)
        if not first._log_probs:
            return choice.double()
        return torch.cat([choice.double(), p.at(choice).log()], -1)  # ids are exact in float64

    def take(self, session: Session, decided: list[float]) -> bool:
        """The next token."""
        token = int(decided[0])
        decoded = self._piece.tokens.add(id=token, origin=pb.ORIGIN_EXPERT)
        if self._log_probs:
            decoded.log_probs.expert = decoded.log_probs.target = decided[1]
        session.tokens.extend([token])
        self._position += 1
        self._decoded += 1
        done = self._decoded == self._request.max_tokens or token in self._end_token_ids
        if done or len(self._piece.tokens) == max(self._request.piece_length, 1):
            self._send(last=done)
        return done

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)

    def _send(self, *, last: bool) -> None:
        piece, self._piece = self._piece, pb.DecodedTokens(step_id=self._request.step_id)
        self._piece.position = piece.position + len(piece.tokens)
        piece.last = last
        piece.timing.CopyFrom(to_proto(self.timing))
        self._emit(piece)
