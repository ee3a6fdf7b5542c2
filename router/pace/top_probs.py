"""What a drafted token's top probability (max q1) says of its acceptance.

Where the drafter is unsure the expert often decides otherwise, and whatever is drafted behind such
a token is mostly lost.  So a draft may end with the first token whose top probability is below a
threshold (``early_stop``); which one pays is found from how often tokens on both of its sides are
drafted and accepted.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Where a draft may stop."""
_PRIOR_WEIGHT = 4.0
"""In tokens: how much each side of a threshold is taken to be like all."""
_MEMORY = 400.0
"""Tokens beyond which old ones are forgotten."""


@dataclass(frozen=True)
class Split:
    """The drafted tokens, on both sides of a threshold."""

    threshold: float = 0.0
    drafted_below: float = 0.0
    """Share of all drafted tokens that end their draft."""
    below: float = 0.0
    """The same of those that the expert looked at."""
    lift_below: float = 1.0
    """Acceptance below the threshold, for one of all tokens."""
    lift_above: float = 1.0

    def accepted(self, rate: float) -> tuple[float, float]:
        """The chance of a token to be accepted and to end its draft, and to be and to go on.

        Args:
            rate: of acceptance at its position, 0 to 1.
        """
        ends = self.below * min(rate * self.lift_below, 1.0)
        goes_on = (1 - self.below) * min(rate * self.lift_above, 1.0)
        return ends, goes_on


class TopProbs:
    """Counts of tokens by top probability, between the thresholds: running sums."""

    def __init__(self) -> None:
        self._drafted = [0.0] * (len(THRESHOLDS) + 1)
        self._reached = [0.0] * (len(THRESHOLDS) + 1)
        self._accepted = [0.0] * (len(THRESHOLDS) + 1)

    def verified(self, top_probs: Sequence[float], accepted: int, reached: int) -> None:
        """Of a block with these, ``reached`` were looked at, the first ``accepted`` accepted."""
        if sum(self._drafted) > _MEMORY:
            keep = 1 - len(top_probs) / _MEMORY
            for counts in (self._drafted, self._reached, self._accepted):
                counts[:] = [keep * count for count in counts]
        for j, prob in enumerate(top_probs):
            i = bisect_right(THRESHOLDS, prob)
            self._drafted[i] += 1
            self._reached[i] += j < reached
            self._accepted[i] += j < accepted

    def splits(self) -> Iterator[Split]:
        """One for each threshold that would have ended a draft."""
        drafted, reached, accepted = map(sum, (self._drafted, self._reached, self._accepted))
        if not accepted:
            return
        rate = accepted / reached
        drafted_below = below = accepted_below = 0.0
        for i, threshold in enumerate(THRESHOLDS):
            drafted_below += self._drafted[i]
            below += self._reached[i]
            accepted_below += self._accepted[i]
            if not drafted_below:
                continue
            above, accepted_above = reached - below, accepted - accepted_below
            yield Split(
                threshold,
                drafted_below / drafted,
                below / reached,
                _smoothed(accepted_below, below, rate) / rate,
                _smoothed(accepted_above, above, rate) / rate,
            )


def _smoothed(accepted: float, reached: float, rate: float) -> float:
    return (accepted + _PRIOR_WEIGHT * rate) / (reached + _PRIOR_WEIGHT)
