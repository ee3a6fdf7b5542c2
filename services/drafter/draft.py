"""Drafting a block: one pass for each token."""

import math
from collections.abc import Callable

import torch
from cascade.v1 import drafter_pb2, law_pb2
from torch import Tensor

from services.engine.engine import Feed, Session, Step
from services.engine.model import ModelFacts
from services.errors import CascadeError, InvalidField
from services.pod.law import SessionLaw
from services.pod.stream import check_length, check_position, check_tokens
from services.pod.timing import to_proto
from services.rules.sampling import Drafted, sample_draft
from services.rules.unscaled import OfLogits

MAX_TOKENS = 1024


class DraftStep(Step):
    """Truncate, append, then draft until the block is long enough or ends by itself."""

    supersedable = True

    def __init__(
        self,
        request: drafter_pb2.DraftStep,
        facts: ModelFacts,
        law: SessionLaw,
        end_token_ids: frozenset[int],
        emit: Callable[[drafter_pb2.DraftedBlock | CascadeError], None],
        *,
        log_probs: bool = False,
    ) -> None:
        """Checks the request.

        Raises:
            InvalidField: a value that can't be.
        """
        super().__init__()
        if request.max_tokens > MAX_TOKENS:
            raise InvalidField(
                ("max_tokens", f"must be at most {MAX_TOKENS}, got {request.max_tokens}")
            )
        if not 0 <= request.early_stop <= 1:
            raise InvalidField(("early_stop", f"must be in [0, 1], got {request.early_stop:g}"))
        check_tokens("append", list(request.append), facts.vocabulary_size)
        self._request = request
        self._context_length = facts.context_length
        self._law = law
        self._end_token_ids = end_token_ids
        self._emit = emit
        self._log_probs = log_probs
        self._drafted = 0
        self._piece = drafter_pb2.DraftedBlock(step_id=request.step_id)

    def begin(self, session: Session) -> bool:
        """Truncates, appends."""
        request = self._request
        check_position(session, request.position, list(request.append))
        base = request.position + len(request.append)
        check_length("max_tokens", base + request.max_tokens, self._context_length)
        session.rebase(request.position, list(request.append))
        self._piece.position = base
        if request.max_tokens == 0 and session.slot.length == base:
            self._send(last=True)
            return False
        return True

    def feed(self, session: Session) -> Feed:
        """The tokens that the model has not seen; usually the last one drafted."""
        return Feed(session.unseen(), rows=1)

    def take(self, session: Session, logits: Tensor) -> bool:
        """Samples the next token of the block."""
        if self._request.max_tokens == 0:
            self._send(last=True)
            return True
        law = self._law.law
        position = torch.tensor([len(session.tokens)], device=logits.device)
        drafted = sample_draft(
            logits, law.sampling, law.candidates, self._law.seeds, position, law.draft_purpose
        )
        token = self._encode(logits, drafted)
        deferred = self._law.stops_at_deferral and token.defer
        if not deferred:
            session.tokens.extend([token.id])
        self._piece.tokens.append(token)
        self._drafted += 1
        early_stop = self._request.early_stop
        done = (
            self._drafted == self._request.max_tokens
            or token.id in self._end_token_ids
            or deferred
            or (early_stop > 0 and math.exp(token.top_log_prob) < early_stop)
        )
        if done or len(self._piece.tokens) == self._request.piece_length:
            self._send(last=done)
        return done

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)

    def _encode(self, logits: Tensor, drafted: Drafted) -> law_pb2.DraftedToken:
        """The drafted token for the wire, by one copy from the device."""
        sends, q = self._law.sends, drafted.candidates
        q1 = OfLogits(logits, drafted.ids.unsqueeze(-1))
        parts = {"id": drafted.ids}
        if sends.top_log_prob or self._request.early_stop > 0:
            parts["top_log_prob"] = q1.log_top
        if sends.log_prob:
            parts["log_prob"] = q1.log_at
        if sends.defer:
            parts["defer"] = self._law.law.drafter_defers(q1)
        if self._log_probs:
            of_x = q.ids == drafted.ids.unsqueeze(-1)
            parts["scaled_log_prob"] = (q.probabilities() * of_x).sum(-1).log()
        if sends.candidates:
            parts |= {"ids": q.ids, "drops": q.drops}
        # Ids are exact in float64.
        flat = iter(torch.cat([part.double().flatten() for part in parts.values()]).tolist())
        host = {name: [next(flat) for _ in range(part.numel())] for name, part in parts.items()}
        token = law_pb2.DraftedToken(id=int(host["id"][0]))
        for name in ("top_log_prob", "log_prob", "scaled_log_prob"):
            if name in host:
                setattr(token, name, host[name][0])
        if "defer" in host:
            token.defer = bool(host["defer"][0])
        if sends.candidates:
            pairs = [
                (int(i), int(d)) for i, d in zip(host["ids"], host["drops"], strict=True) if d >= 0
            ]
            token.candidates.ids.extend(i for i, _ in pairs)
            token.candidates.drops.extend(d for _, d in pairs)
        return token

    def _send(self, *, last: bool) -> None:
        piece, self._piece = self._piece, drafter_pb2.DraftedBlock(step_id=self._request.step_id)
        self._piece.position = piece.position + len(piece.tokens)
        piece.last = last
        piece.timing.CopyFrom(to_proto(self.timing))
        self._emit(piece)
