"""What happened in one answer: counted once, as it happens, then told as Statistics.

Vocabulary as in ``services.rules.acceptance``: *drafted*, *accepted*, *reached* (drafted tokens up
to the first rejection, that one included).
"""

import time
from collections import Counter
from collections.abc import Iterable

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2, router_pb2

from router.streams import Traffic
from services.serving.law import may_change_expert_law

_NO_TRAFFIC = Traffic()


class Recorder:
    """Counts of one answer."""

    def __init__(self, law: law_pb2.Law, called_at: float | None = None) -> None:
        """``called_at``: when the call came, on ``time.perf_counter``'s clock; None: now."""
        self._law = law
        self._start = time.perf_counter() if called_at is None else called_at
        self._first: float | None = None
        self._last = self._start
        self._stats = router_pb2.Statistics(may_change_expert_law=may_change_expert_law(law))
        self._origins: Counter[expert_pb2.Origin.ValueType] = Counter()
        self._by_accepted: Counter[int] = Counter()
        """Blocks, by how many of their tokens were."""
        self._by_alternative: Counter[int] = Counter()
        self._distances: list[float | None] = []
        """At the positions reached; None where it is not known."""
        self._emitted = 0
        self.other_law = False
        """Whether tokens follow another law than the request's from here on: a model is lost."""
        self._drafter_steps: list[law_pb2.StepTiming] = []
        self._expert_steps: list[law_pb2.StepTiming] = []
        # Those that go on.  A stop string may end the answer in the middle of one.
        self._drafting: law_pb2.StepTiming | None = None
        self._deciding: law_pb2.StepTiming | None = None

    @property
    def began(self) -> bool:
        """Whether any token was decided."""
        return self._first is not None

    def sent(self, tokens: int, *, ahead: bool = False, forked: bool = False) -> None:
        """A drafted block goes to the expert.

        Args:
            tokens: its length.
            ahead: before the verdict on the one before.
            forked: it had been prepared for a rejection in the one before.
        """
        self._stats.forks_used += forked
        self._stats.drafted += tokens
        self._stats.block_length = tokens
        self._stats.blocks_ahead += ahead

    def draft_began(self) -> None:
        """A step of the drafter begins; one that went on is superseded, and was work, too."""
        if self._drafting is not None:
            self._drafter_steps.append(self._drafting)
            self._drafting = None

    def forked(self, forks: drafter_pb2.DraftedForks) -> None:
        """Blocks were drafted on forks, in the passes of the session's own draft."""
        drafted = [block for block in forks.blocks if block.tokens]
        self._stats.forks += len(drafted)
        self._stats.drafter_tokens += sum(block.timing.tokens for block in drafted)

    def rejected(self, rank: int | None) -> None:
        """A token was replaced by its alternative of this rank; None: by none of them."""
        self._stats.rejections += 1
        if rank is not None:
            self._by_alternative[rank] += 1

    def drafter_step(self, timing: law_pb2.StepTiming, *, last: bool = True) -> None:
        """A step of the drafter has come so far; ``last``: it is over."""
        self._drafting = _take(self._drafter_steps, self._drafting, timing, last=last)

    def expert_step(self, timing: law_pb2.StepTiming, *, last: bool = True) -> None:
        """A step of the expert has come so far; ``last``: it is over."""
        self._deciding = _take(self._expert_steps, self._deciding, timing, last=last)

    def verified(
        self, block_length: int, verdict: expert_pb2.Verdict, *, ahead: bool = False
    ) -> int:
        """A block was verified; ``ahead``: it had been sent so.  Gives the tokens reached."""
        self._stats.blocks_ahead_used += ahead
        accepted = verdict.accepted
        self._stats.accepted += accepted
        ended = len(verdict.tokens) == accepted
        reached = accepted + (not ended and accepted < block_length)
        self._stats.reached += reached
        self._by_accepted[accepted] += 1
        for token in verdict.tokens[:block_length]:
            self._distances.append(token.distance if token.HasField("distance") else None)
        self.expert_step(verdict.timing)
        return reached

    def went_alone(self, reason: str) -> None:
        """The expert goes on alone; what the seed then still promises is docs/rules.md's affair."""
        if reason not in self._stats.alone_reasons:
            self._stats.alone_reasons.append(reason)
        law = self._law
        keeps = law.rule == law_pb2.RULE_LOSSLESS and (
            law.temperature == 0 or law.coupling == law_pb2.COUPLING_GUMBEL
        )
        if not keeps and not self._stats.HasField("seed_ended_at"):
            self._stats.seed_ended_at = self._emitted

    def as_token_cascade(self) -> None:
        """The speculative cascade is carried out on one model after the other."""
        self._stats.as_token_cascade = True

    def lost(self, role: str) -> None:
        """No pod of a role is left, and the other model goes on alone."""
        self.other_law = role == "expert" or may_change_expert_law(self._law)
        reason = f"no {role} is left"
        if role == "drafter":
            self.went_alone(reason)
        else:
            self._stats.alone_reasons.append(reason)
            if not self._stats.HasField("seed_ended_at"):
                self._stats.seed_ended_at = self._emitted

    def failed_over(self) -> None:
        """A session was opened anew on another pod."""
        self._stats.failovers += 1

    def round(self) -> None:
        """A round, or a step of one model alone."""
        self._stats.rounds += 1

    def emitted(self, tokens: Iterable[expert_pb2.EmittedToken]) -> None:
        """Tokens were decided."""
        self._last = time.perf_counter()
        self._first = self._first or self._last
        origins = [token.origin for token in tokens]
        self._emitted += len(origins)
        self._origins.update(origins)

    def waited(self, queue_ms: float) -> None:
        """A session waited for its slot, or the call for its place."""
        self._stats.queue_ms += queue_ms

    def statistics(
        self, drafter: Traffic = _NO_TRAFFIC, expert: Traffic = _NO_TRAFFIC
    ) -> router_pb2.Statistics:
        """All of it."""
        stats = router_pb2.Statistics()
        stats.CopyFrom(self._stats)
        drafter_steps = [*self._drafter_steps, *filter(None, [self._drafting])]
        expert_steps = [*self._expert_steps, *filter(None, [self._deciding])]
        stats.drafter_tokens += sum(step.tokens for step in drafter_steps)
        stats.draft_ms = sum(step.compute_ms for step in drafter_steps)
        stats.expert_calls = len(expert_steps)
        stats.expert_tokens = sum(step.tokens for step in expert_steps)
        stats.verify_ms = sum(step.compute_ms for step in expert_steps)
        stats.queue_ms += sum(step.queue_ms for step in [*drafter_steps, *expert_steps])
        for position in range(max(self._by_accepted, default=0)):
            longer = (count for most, count in self._by_accepted.items() if most > position)
            stats.accepted_by_position.append(sum(longer))
        last = max(self._by_alternative, default=-1)
        stats.rejections_by_alternative.extend(self._by_alternative[i] for i in range(last + 1))
        for origin, count in self._origins.items():
            stats.tokens_by_origin[expert_pb2.Origin.Name(origin)] = count
        if stats.rounds:
            stats.tokens_per_round = self._emitted / stats.rounds
        if stats.reached:
            stats.acceptance_rate = stats.accepted / stats.reached
            stats.draft_efficiency = stats.accepted / stats.drafted
        known = [distance for distance in self._distances if distance is not None]
        if known and len(known) == len(self._distances):
            stats.distance = sum(known) / len(known)
        if self._first is not None:
            stats.time_to_first_token_ms = (self._first - self._start) * 1000
        stats.total_ms = (self._last - self._start) * 1000
        accounted = stats.draft_ms + stats.verify_ms + stats.queue_ms
        stats.other_ms = max(stats.total_ms - accounted, 0.0)
        stats.drafter_bytes_up, stats.drafter_bytes_down = drafter.up, drafter.down
        stats.expert_bytes_up, stats.expert_bytes_down = expert.up, expert.down
        return stats


def _take(
    steps: list[law_pb2.StepTiming],
    before: law_pb2.StepTiming | None,
    timing: law_pb2.StepTiming,
    *,
    last: bool,
) -> law_pb2.StepTiming | None:
    """Keeps the timing of a step that is over; gives that of one that goes on.

    One that counts fewer passes than it did ``before`` goes on on another pod: the first one's were
    work, too.
    """
    if before is not None and timing.passes < before.passes:
        steps.append(before)
    if not last:
        return timing
    steps.append(timing)
    return None
