"""How often drafted tokens are accepted."""

import math

_POSITIONS = 65
"""Of the longest block, and of a bonus token behind it."""
PRIOR = 0.8
"""Acceptance, before anything is known."""
_PRIOR_WEIGHT = 4.0
"""In tokens: how much a position is taken to be like the one before it."""
_MEMORY = 200.0
"""Tokens that were reached at a position, beyond which old ones are forgotten."""
_RECENT = 64.0
"""Tokens that are compared with what was seen before."""
_SURE = 3.5
"""Standard errors by which they have to differ for all to change at once."""
_SHIFTED = 16.0
"""Tokens of each kind that then count as seen."""


class Acceptance:
    """By position in the block: running means, which jump where the last tokens are unlike them."""

    def __init__(self) -> None:
        self.reached = [0.0] * _POSITIONS
        self.accepted = [0.0] * _POSITIONS
        # Of the last tokens: how many were accepted, how many should have been, and its variance.
        self._recent = self._expected = self._variance = 0.0

    def verified(self, accepted: int, reached: int) -> float:
        """Of a block ``reached`` tokens were looked at, and the first ``accepted`` accepted.

        Returns:
            A factor by which all rates have changed at once; mostly 1.
        """
        keep = max(1 - reached / _RECENT, 0.0)
        self._recent = self._recent * keep + accepted
        self._expected *= keep
        self._variance *= keep
        for j, rate in enumerate(self.rates(reached)):
            self._expected += rate
            self._variance += rate * (1 - rate)
            if self.reached[j] >= _MEMORY:
                keep = 1 - 1 / _MEMORY
                self.reached[j] *= keep
                self.accepted[j] *= keep
            self.reached[j] += 1
            self.accepted[j] += j < accepted
        # Beside chance, what is expected is itself not known to better than a token.
        if abs(self._recent - self._expected) <= _SURE * math.sqrt(self._variance + 1):
            return 1.0
        factor = self._recent / self._expected
        shift(factor, self.accepted, self.reached)
        self.begin_anew()
        return factor

    def begin_anew(self) -> None:
        """What is to be compared begins with the next token."""
        self._recent = self._expected = self._variance = 0.0

    def rates(self, count: int, optimism: float = 0.0) -> list[float]:
        """The chance of each of the first ``count`` positions to be accepted, if it is reached.

        Args:
            count: at most 65.
            optimism: standard errors of the mean over positions to add.
        """
        rates, before = [], PRIOR
        for j in range(count):
            before = (self.accepted[j] + _PRIOR_WEIGHT * before) / (self.reached[j] + _PRIOR_WEIGHT)
            rates.append(before)
        if optimism:
            seen = sum(self.reached) + _PRIOR_WEIGHT
            mean = (sum(self.accepted) + _PRIOR_WEIGHT * PRIOR) / seen
            more = optimism * math.sqrt(mean * (1 - mean) / seen)
            rates = [min(rate + more, 1.0) for rate in rates]
        return rates


def shift(factor: float, accepted: list[float], reached: list[float]) -> None:
    """All rates are other by a factor than what was seen before, of which little is kept.

    Args:
        factor: at least 0.
        accepted: tokens, by whatever tells them apart; changed.
        reached: the tokens that these are among; changed.
    """
    for j, seen in enumerate(reached):
        if seen:
            rate = min(factor * accepted[j] / seen, 1.0)
            reached[j] = min(seen, _SHIFTED)
            accepted[j] = rate * reached[j]
