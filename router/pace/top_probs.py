"""What a drafted token's top probability (max q1) says of its acceptance.

Where the drafter is unsure the expert often decides otherwise, and what is drafted behind such a
token is mostly lost.
"""

from collections.abc import Sequence

from router.pace.acceptance import PRIOR, shift

_RANGES = 10
"""Equal ranges of the top probability."""
_PRIOR_WEIGHT = 4.0
"""In tokens: how much a range is taken to be accepted as often as its middle says."""
_MEMORY = 400.0
"""Tokens beyond which old ones are forgotten."""


class TopProbs:
    """Tokens that the expert looked at, and those that it accepted, by ranges: running sums."""

    def __init__(self) -> None:
        self._reached = [0.0] * _RANGES
        self._accepted = [0.0] * _RANGES

    def verified(self, top_probs: Sequence[float], accepted: int) -> None:
        """Tokens with these were looked at; the first ``accepted`` were accepted."""
        if sum(self._reached) > _MEMORY:
            keep = 1 - len(top_probs) / _MEMORY
            self._reached = [keep * count for count in self._reached]
            self._accepted = [keep * count for count in self._accepted]
        for j, prob in enumerate(top_probs):
            i = min(int(prob * _RANGES), _RANGES - 1)
            self._reached[i] += 1
            self._accepted[i] += j < accepted

    def shift(self, factor: float) -> None:
        """All rates have changed at once by a factor."""
        shift(factor, self._accepted, self._reached)

    @property
    def known(self) -> bool:
        """Whether any was reported: a drafter of an earlier version reports none, nor stops."""
        return any(self._reached)

    def acceptance(self) -> list[float]:
        """The chance of a token to be accepted, for each range."""
        return [
            _smoothed(accepted, reached, (i + 0.5) / _RANGES)
            for i, (accepted, reached) in enumerate(zip(self._accepted, self._reached, strict=True))
        ]

    def mean(self) -> float:
        """The same of any token."""
        return _smoothed(sum(self._accepted), sum(self._reached), PRIOR)


def _smoothed(accepted: float, reached: float, prior: float) -> float:
    return (accepted + _PRIOR_WEIGHT * prior) / (reached + _PRIOR_WEIGHT)
