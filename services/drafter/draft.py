"""Drafting a block: one pass for each token, and in the same passes blocks on forks."""

import math
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Self

import torch
from cascade.v1 import drafter_pb2, law_pb2
from torch import Tensor

from services.drafter.forks import ForkedBlocks
from services.engine.facts import ModelFacts
from services.engine.session import Session
from services.engine.step import Feed, Step
from services.errors import CascadeError, InvalidField
from services.pod.law import SessionLaw
from services.pod.stream import check_length, check_position, check_tokens
from services.pod.timing import to_proto
from services.rules.alternatives import alternatives
from services.rules.sampling import sample_draft
from services.rules.unscaled import OfLogits

MAX_TOKENS = 1024
MAX_ALTERNATIVES = 8
MAX_FORKS = 64
MAX_RANGES = 64


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
        emit_forks: Callable[[drafter_pb2.DraftedForks | CascadeError], None] | None = None,
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
        _check_least_chance(request)
        if request.alternatives > MAX_ALTERNATIVES:
            raise InvalidField(
                ("alternatives", f"must be at most {MAX_ALTERNATIVES}, got {request.alternatives}")
            )
        if request.stop_at_deferral and not law.sends.defer:
            raise InvalidField(
                ("stop_at_deferral", "must be false: the law's rule defers no draft")
            )
        check_tokens("append", list(request.append), facts.vocabulary_size)
        self._base = request.position + len(request.append)
        check_length("max_tokens", self._base + request.max_tokens, facts.context_length)
        _check_forks(request, facts)
        self._request = request
        self._law = law
        self._end_token_ids = end_token_ids
        self._emit = emit
        self._log_probs = log_probs
        self._drafted = 0
        self._position = self._base
        self._top_prob = 1.0
        """Of the last token, if it is looked at."""
        self._chance = 1.0
        """That all tokens so far are accepted, if that is known."""
        self._piece = drafter_pb2.DraftedBlock(step_id=request.step_id, position=self._base)
        self._forks: list[tuple[int, Step]] = []
        if request.forks:
            assert emit_forks is not None, "whoever asks for forks takes what is drafted on them"
            for step, take in ForkedBlocks(request, emit_forks).steps:
                fork = DraftStep(step, facts, law, end_token_ids, take, log_probs=log_probs)
                self._forks.append((step.position, fork))

    def begin(self, session: Session) -> bool:
        """Truncates, appends."""
        request = self._request
        check_position(session, request.position, list(request.append))
        session.rebase(request.position, list(request.append))
        if request.max_tokens == 0 and session.slot.length == self._base:
            self._send(last=True)
            return False
        return True

    def forks(self) -> list[tuple[int, Step]]:
        """See Step: a draft for each fork."""
        return self._forks

    def feed(self, session: Session) -> Feed:
        """The tokens that the model has not seen; usually the last one drafted."""
        return Feed(session.unseen(), rows=1 if self._request.max_tokens else 0)

    @property
    def group(self) -> Hashable:
        """Drafts of one law that send the same."""
        return self._law.kind, self._log_probs, self._looks_at_top, self._request.alternatives

    @property
    def _looks_at_top(self) -> bool:
        request = self._request
        stops = request.early_stop > 0 or request.least_chance > 0
        return self._law.sends.top_log_prob or request.top_probs or stops

    @classmethod
    def decide(cls, steps: Sequence[Self], logits: Tensor) -> Tensor:
        """Samples the next token of each block; what crosses of it, in the order of ``_add``."""
        first, logits = steps[0], logits[:, -1]
        law, sends = first._law.law, first._law.sends
        positions = torch.tensor([step._position for step in steps])
        seeds = torch.cat([step._law.seeds for step in steps])
        drafted = sample_draft(
            logits,
            law.sampling,
            law.candidates,
            seeds,
            positions,
            law.draft_purpose,
        )
        q, q1 = drafted.candidates, OfLogits(logits, drafted.ids.unsqueeze(-1))
        parts = [drafted.ids.unsqueeze(-1)]
        if first._looks_at_top:
            parts.append(q1.log_top)
        if sends.log_prob:
            parts.append(q1.log_at)
        if sends.defer:
            parts.append(law.drafter_defers(q1))
        if first._log_probs:
            of_x = q.ids == drafted.ids.unsqueeze(-1)
            parts.append((q.probabilities() * of_x).sum(-1, keepdim=True).log())
        if count := first._request.alternatives:
            parts.append(alternatives(law, logits, drafted, seeds, positions, count))
        if sends.candidates:
            parts += [q.ids, q.drops]
        return torch.cat([part.double() for part in parts], -1)  # ids are exact in float64

    def take(self, session: Session, decided: list[float]) -> bool:
        """The next token of the block."""
        if self._request.max_tokens == 0:
            self._send(last=True)
            return True
        token = self._add(decided)
        stops = self._law.stops_at_deferral or self._request.stop_at_deferral
        deferred = stops and token.defer
        if not deferred:
            session.tokens.extend([token.id])
            self._position += 1
        self._drafted += 1
        done = (
            self._drafted == self._request.max_tokens
            or token.id in self._end_token_ids
            or deferred
            or self._top_prob < self._request.early_stop
            or self._chance < self._request.least_chance
        )
        if done or len(self._piece.tokens) == self._request.piece_length:
            self._send(last=done)
        return done

    def give_up(self) -> None:
        """Sends no block: an unfinished one is worth little."""
        self._piece = drafter_pb2.DraftedBlock(step_id=self._request.step_id)
        self._send(last=True)

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)

    def _add(self, decided: list[float]) -> law_pb2.DraftedToken:
        """Encodes the drafted token into the piece."""
        sends, rest = self._law.sends, iter(decided)
        token = self._piece.tokens.add(id=int(next(rest)))
        if self._looks_at_top:
            top_log_prob = next(rest)
            self._top_prob = min(math.exp(top_log_prob), 1.0)
            if ranges := len(self._request.acceptance):
                index = min(int(self._top_prob * ranges), ranges - 1)
                self._chance *= self._request.acceptance[index]
            if sends.top_log_prob:
                token.top_log_prob = top_log_prob
            if self._request.top_probs:
                self._piece.top_probs.append(self._top_prob)
        if sends.log_prob:
            token.log_prob = next(rest)
        if sends.defer:
            token.defer = bool(next(rest))
        if self._log_probs:
            token.scaled_log_prob = next(rest)
        if self._request.alternatives:
            ids = [int(value) for value in islice(rest, self._request.alternatives)]
            self._piece.alternatives.add(ids=[id for id in ids if id >= 0])
        if sends.candidates:
            pairs = list(map(int, rest))
            ids, drops = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
            there = len(drops) - drops.count(-1)  # those that are none come last
            token.candidates.ids.extend(ids[:there])
            token.candidates.drops.extend(drops[:there])
        return token

    def _send(self, *, last: bool) -> None:
        piece, self._piece = self._piece, drafter_pb2.DraftedBlock(step_id=self._request.step_id)
        self._piece.position = piece.position + len(piece.tokens)
        piece.last = last
        piece.timing.CopyFrom(to_proto(self.timing))
        self._emit(piece)


def _check_least_chance(request: drafter_pb2.DraftStep) -> None:
    """Refuses chances that can't be.

    Raises:
        InvalidField: naming the first of them.
    """
    ranges = len(request.acceptance)
    if ranges > MAX_RANGES:
        raise InvalidField(("acceptance", f"must be at most {MAX_RANGES}, got {ranges}"))
    for index, chance in enumerate(request.acceptance):
        if not 0 <= chance <= 1:
            raise InvalidField((f"acceptance[{index}]", f"must be in [0, 1], got {chance:g}"))
    least = request.least_chance
    if not 0 <= least <= 1:
        raise InvalidField(("least_chance", f"must be in [0, 1], got {least:g}"))
    if least and not ranges:
        raise InvalidField(("least_chance", f"must be 0 without acceptance, got {least:g}"))


def _check_forks(request: drafter_pb2.DraftStep, facts: ModelFacts) -> None:
    """Refuses forks that can't be.

    Raises:
        InvalidField: naming the first of them.
    """
    if len(request.forks) > MAX_FORKS:
        raise InvalidField(("forks", f"must be at most {MAX_FORKS}, got {len(request.forks)}"))
    if request.forks and not 1 <= request.fork_tokens <= MAX_TOKENS:
        raise InvalidField(("fork_tokens", f"must be 1 to {MAX_TOKENS}, got {request.fork_tokens}"))
    base = request.position + len(request.append)
    for index, fork in enumerate(request.forks):
        if fork.position >= base:
            raise InvalidField(
                (f"forks[{index}].position", f"must be below {base}, got {fork.position}")
            )
        check_tokens(f"forks[{index}].id", [fork.id], facts.vocabulary_size)
        check_length(
            f"forks[{index}]", fork.position + 1 + request.fork_tokens, facts.context_length
        )
