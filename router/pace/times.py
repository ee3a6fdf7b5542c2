"""What steps take, as a router sees them."""

import math
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from cascade.v1 import law_pb2

from router.pace.mean import Cost, Mean

_MOST_SLOWER = 2.0
"""Times the mean that some tokens count, at most."""
_TOGETHER = 8
"""Tokens that count as one time: several may come at once, and the next ones late."""
_MOST_LONGER = 2.0
"""Times the mean, and a pass of the expert, that a trip counts, at most."""
_NOTHING = law_pb2.StepTiming()


class Pass(NamedTuple):
    """A pass of the expert that a session had a part in, as it tells of it."""

    ms: float
    rows: float = 0
    """Of logits, all sessions' together.  0: a pod that does not know."""
    sessions: int = 1
    """That take part in passes."""

    @classmethod
    def mean(cls, step: law_pb2.StepTiming, before: law_pb2.StepTiming = _NOTHING) -> "Pass":
        """The mean of a step's passes, without those ``before``."""
        passes = max(step.passes - before.passes, 1)
        return cls(
            ms=(step.compute_ms - before.compute_ms) / passes,
            rows=(step.rows - before.rows) / passes,
            sessions=max(step.sessions, 1),
        )


class Draft(NamedTuple):
    """What a draft took."""

    token_ms: float
    """Of a token, in the drafter."""
    trip_ms: float | None = None
    """What it took beside that.  None: it waited for other things as well."""
    rows: float = 1.0
    """Of logits in a pass, all sessions' and forks' together."""
    sessions: int = 1
    """That take part in the drafter's passes."""

    @classmethod
    def of(cls, step: law_pb2.StepTiming, whole_ms: float | None = None) -> "Draft":
        """What a step of at least one pass took; ``whole_ms``: as seen from here."""
        own_ms, passes = step.compute_ms + step.queue_ms, step.passes
        return cls(
            token_ms=own_ms / passes,
            trip_ms=None if whole_ms is None else max(whole_ms - own_ms, 0.0),
            rows=max(step.rows / passes, 1.0),
            sessions=max(step.sessions, 1),
        )


@dataclass
class _Gaps:
    """Between tokens of the expert alone, beside their passes."""

    _ms: float = 0.0
    _passes_ms: float = 0.0
    _count: int = 0

    def add(self, ms: float, pass_ms: float) -> float | None:
        """One more; with each eighth, how much longer these took than their passes."""
        self._ms, self._passes_ms = self._ms + ms, self._passes_ms + pass_ms
        self._count += 1
        if self._count < _TOGETHER:
            return None
        slower = self._ms / self._passes_ms
        self._ms, self._passes_ms, self._count = 0.0, 0.0, 0
        return slower

    def anew(self) -> "_Gaps":
        """None yet."""
        return _Gaps()


@dataclass
class Times:
    """What steps take, milliseconds, as a router sees them, with about as many sessions."""

    draft: Cost = field(default_factory=Cost)
    """Of a drafted token, in the drafter."""
    drafting: Mean = field(default_factory=Mean)
    """Sessions that take part in the drafter's passes."""
    draft_trip: Mean = field(default_factory=Mean)
    """What a draft takes beside that: network, waiting."""
    expert: Cost = field(default_factory=Cost)
    """Of a pass, in the expert."""
    verify_trip: Mean = field(default_factory=Mean)
    """What a verification takes beside that."""
    sessions: Mean = field(default_factory=Mean)
    """That take part in the expert's passes."""
    _share: Mean = field(default_factory=Mean)
    """Rows of a pass that verifies, beside those that there were if each of these sessions had a
    block of the same length in it."""
    slower: Mean = field(default_factory=Mean)
    """How much longer a token of the expert alone takes than its pass."""
    _gaps: _Gaps = field(default_factory=_Gaps)

    def anew(self) -> "Times":
        """The same until there are some with other sessions: then they count alone."""
        return Times(**{each.name: getattr(self, each.name).anew() for each in fields(self)})

    def drafted(self, draft: Draft) -> None:
        """The drafter has made one."""
        self.draft.add(draft.rows, draft.token_ms)
        self.drafting.add(draft.sessions)
        if draft.trip_ms is not None:
            self._add_trip(self.draft_trip, draft.trip_ms)

    def verified(self, length: int, found: Pass, trip_ms: float | None = None) -> None:
        """A block of so many tokens was verified.

        Args:
            length: tokens.
            found: the mean of its passes.
            trip_ms: milliseconds beside these.  None: it waited for other things as well.
        """
        own = length + 1
        if trip_ms is not None:
            self._add_trip(self.verify_trip, trip_ms)
        rows = max(found.rows, own)
        self._passed(own, found)
        self._share.add(rows / (own * found.sessions), own / rows)

    def _add_trip(self, mean: Mean, ms: float) -> None:
        """One that stalls, by whatever, says little of the next ones."""
        if mean.tells and self.expert.tells:
            ms = min(ms, _MOST_LONGER * (mean.value + self.expert.value))
        mean.add(ms)

    def decoded(self, found: Pass, token_ms: float | None = None) -> None:
        """The expert has decoded by itself.

        Args:
            found: the mean of its passes.
            token_ms: milliseconds of a token, as seen from here.  None: there was but one.
        """
        self._passed(1, found)
        if token_ms is not None and (slower := self._gaps.add(token_ms, found.ms)) is not None:
            if self.slower.tells:  # a token that stalls once, by whatever, says little
                slower = min(slower, _MOST_SLOWER * self.slower.value)
            self.slower.add(slower)

    def _passed(self, own: int, found: Pass) -> None:
        """Of all who take part in a pass each tells of it: together they count as one."""
        rows = max(found.rows, own)
        self.sessions.add(found.sessions)
        self.expert.add(rows, found.ms, own / rows)

    @property
    def tell(self) -> bool:
        """Whether each was measured often enough to go by."""
        return self.known and self.draft.tells and self.verify_trip.tells

    def verify_ms(self, length: int) -> float:
        """Of a pass that verifies a block of this length, if the other sessions' are as long.

        All of them choose by the same figures.  So a longer block costs what it costs if all are
        longer, and not only what its own rows do: the length is the best for all together (Liu et
        al. 2024, arXiv 2406.14066: goodput).
        """
        return self.expert.of(self._share.value * self.sessions.value * (length + 1))

    def fork_ms(self, length: int) -> float:
        """What a fork costs all sessions, if each has one: their drafts share its passes.

        Args:
            length: of the drafts.
        """
        return self.draft.slope * length * max(self.drafting.value - 1, 0.0)

    @property
    def decode_ms(self) -> float:
        """Of a pass in which each session has one token."""
        return self.expert.of(self.sessions.value)

    @property
    def alone_ms(self) -> float:
        """Of a token, if the expert decodes alone in every session."""
        slower = self.slower.value
        return self.decode_ms * (1.0 if math.isnan(slower) else slower)

    @property
    def known(self) -> bool:
        """Whether each was measured."""
        means = (self.draft, self.draft_trip, self.verify_trip, self._share)
        return not any(math.isnan(mean.value) for mean in means)

    def round_ms(
        self, length: int, ahead: float = 0.0, forked: float = 0.0, depth: int = 1
    ) -> float:
        """Mean time of a round, from one verdict to the next.

        Args:
            length: of its block.
            ahead: chance that the block was sent before the last verdict: the expert has it.
            forked: chance that it had been prepared for that verdict: it is sent at once.
            depth: blocks sent ahead at most.  Of all that are under way each waits for the way to
                both models and back.
        """
        verify = self.verify_ms(length)
        drafted = self.draft.value * length + self.draft_trip.value
        verified = verify + self.verify_trip.value
        apart = drafted + verified
        sent_ahead = max(verify, drafted, apart / (1 + depth))
        prepared = max(verified, drafted)
        return ahead * sent_ahead + forked * prepared + (1 - ahead - forked) * apart
