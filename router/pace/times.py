"""What steps take, as a router sees them."""

import math
from dataclasses import dataclass, field

_SMOOTHING = 0.1
"""Weight of a new time in the mean of the last ones."""
_SPREAD = 0.5
"""Variance of the lengths from which their cost is told apart."""
_LEAST_MS = 1e-3


@dataclass
class Mean:
    """A running mean, of which the last values are the most."""

    value: float = math.nan
    smoothing: float = _SMOOTHING
    """Weight of a new value."""
    _weight: float = 1.0

    def add(self, value: float) -> None:
        """One more.  The first ones count alike."""
        if math.isnan(self.value):
            self.value = value
        self.value += self._weight * (value - self.value)
        self._weight = max(self._weight / (1 + self._weight), self.smoothing)


@dataclass
class Cost:
    """What a verification takes by the length of its block: a straight line through the last ones.

    While all have one length, it is taken to be level.
    """

    _n: Mean = field(default_factory=Mean)
    _ms: Mean = field(default_factory=Mean)
    _nn: Mean = field(default_factory=Mean)
    _nms: Mean = field(default_factory=Mean)

    def add(self, length: int, ms: float) -> None:
        """One more."""
        for mean, value in (
            (self._n, length),
            (self._ms, ms),
            (self._nn, length * length),
            (self._nms, length * ms),
        ):
            mean.add(value)

    @property
    def known(self) -> bool:
        """Whether there was one."""
        return not math.isnan(self._ms.value)

    def of(self, length: int) -> float:
        """Milliseconds of one with a block of this length."""
        spread = self._nn.value - self._n.value**2
        slope = 0.0
        if spread >= _SPREAD:
            slope = max((self._nms.value - self._n.value * self._ms.value) / spread, 0.0)
        return max(self._ms.value + slope * (length - self._n.value), _LEAST_MS)


@dataclass
class Times:
    """What steps take, milliseconds, as a router sees them."""

    draft: Mean = field(default_factory=Mean)
    """Of a drafted token, in the drafter."""
    draft_trip: Mean = field(default_factory=Mean)
    """What a draft takes beside that: network, waiting."""
    verify: Cost = field(default_factory=Cost)
    """Of a verification, in the expert."""
    verify_trip: Mean = field(default_factory=Mean)
    """What it takes beside that."""

    @property
    def known(self) -> bool:
        """Whether each was measured."""
        means = (self.draft, self.draft_trip, self.verify_trip)
        return self.verify.known and not any(math.isnan(mean.value) for mean in means)

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
        verify = self.verify.of(length)
        drafted = self.draft.value * length + self.draft_trip.value
        verified = verify + self.verify_trip.value
        apart = drafted + verified
        sent_ahead = max(verify, drafted, apart / (1 + depth))
        prepared = max(verified, drafted)
        return ahead * sent_ahead + forked * prepared + (1 - ahead - forked) * apart
