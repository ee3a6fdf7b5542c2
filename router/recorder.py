"""What happened in one answer: counted once, as it happens, then told as Statistics.

Vocabulary as in ``services.rules.acceptance``: *drafted*, *accepted*, *reached* (drafted tokens up
to the first rejection, that one included).
"""

import time
from collections import Counter
from collections.abc import Iterable

from cascade.v1 import expert_pb2, law_pb2, router_pb2

from services.serving.law import may_change_expert_law


class Recorder:
    """Counts of one answer."""

    def __init__(self, law: law_pb2.Law) -> None:
        self._law = law
        self._start = time.perf_counter()
        self._first: float | None = None
        self._last = self._start
        self._stats = router_pb2.Statistics(may_change_expert_law=may_change_expert_law(law))
        self._origins: Counter[str] = Counter()
        self._by_position: Counter[int] = Counter()
        self._distances: list[float] = []
        self._emitted = 0

    def drafted(self, tokens: int, timing: law_pb2.StepTiming) -> None:
        """A block was drafted for the expert; ``timing`` is that of its whole step."""
        self._stats.drafted += tokens
        self._stats.block_length = tokens
        self.drafted_alone(timing)

    def drafted_alone(self, timing: law_pb2.StepTiming) -> None:
        """A step of the drafter is over."""
        self._stats.drafter_tokens += timing.tokens
        self._stats.draft_ms += timing.compute_ms
        self._stats.queue_ms += timing.queue_ms

    def verified(self, block_length: int, verdict: expert_pb2.Verdict) -> None:
        """A block was verified."""
        accepted = verdict.accepted
        self._stats.accepted += accepted
        ended = len(verdict.tokens) == accepted
        self._stats.reached += accepted + (not ended and accepted < block_length)
        self._by_position.update(range(accepted))
        self._distances += [t.distance for t in verdict.tokens if t.HasField("distance")]
        self._expert_step(verdict.timing)

    def decoded(self, timing: law_pb2.StepTiming) -> None:
        """A step of the expert alone is over."""
        self._expert_step(timing)

    def round(self) -> None:
        """A round, or a step of one model alone, is over."""
        self._stats.rounds += 1

    def emitted(self, tokens: Iterable[expert_pb2.EmittedToken]) -> None:
        """Tokens were decided."""
        self._last = time.perf_counter()
        self._first = self._first or self._last
        for token in tokens:
            self._emitted += 1
            self._origins[expert_pb2.Origin.Name(token.origin)] += 1

    def waited(self, queue_ms: float) -> None:
        """A session waited for its slot."""
        self._stats.queue_ms += queue_ms

    def statistics(
        self, drafter: tuple[int, int] = (0, 0), expert: tuple[int, int] = (0, 0)
    ) -> router_pb2.Statistics:
        """All of it; ``drafter`` and ``expert`` are bytes up and down."""
        stats = router_pb2.Statistics()
        stats.CopyFrom(self._stats)
        last = max(self._by_position, default=-1)
        stats.accepted_by_position.extend(self._by_position[i] for i in range(last + 1))
        for origin, count in self._origins.items():
            stats.tokens_by_origin[origin] = count
        if stats.rounds:
            stats.tokens_per_round = self._emitted / stats.rounds
        if stats.reached:
            stats.acceptance_rate = stats.accepted / stats.reached
            stats.draft_efficiency = stats.accepted / stats.drafted
        if self._distances:
            stats.distance = sum(self._distances) / len(self._distances)
        if self._first is not None:
            stats.time_to_first_token_ms = (self._first - self._start) * 1000
        stats.total_ms = (self._last - self._start) * 1000
        known = stats.draft_ms + stats.verify_ms + stats.queue_ms
        stats.other_ms = max(stats.total_ms - known, 0.0)
        stats.drafter_bytes_up, stats.drafter_bytes_down = drafter
        stats.expert_bytes_up, stats.expert_bytes_down = expert
        return stats

    def _expert_step(self, timing: law_pb2.StepTiming) -> None:
        self._stats.expert_calls += 1
        self._stats.expert_tokens += timing.tokens
        self._stats.verify_ms += timing.compute_ms
        self._stats.queue_ms += timing.queue_ms
