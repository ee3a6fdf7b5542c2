"""Running means of what was measured last, and of what a pass takes by its rows."""

import math
from dataclasses import dataclass, field, replace

_SMOOTHING = 0.1
"""Weight of a new time in the mean of the last ones."""
_ENOUGH = 3
"""So many values are a mean to go by."""
_LONG_SMOOTHING = 0.02
"""The same of what a row takes."""
_SPREAD = 0.5
"""Variance of the rows from which their cost is told apart."""
_LEAST_MS = 1e-3


@dataclass
class Mean:
    """A running mean, of which the last values are the most."""

    value: float = math.nan
    smoothing: float = _SMOOTHING
    """Weight of a new value."""
    _seen: float = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """One more.  The first ones count by their weights, at most 1, alone."""
        if math.isnan(self.value):
            self.value = value
        self._seen = min(self._seen + weight, 1 / self.smoothing)
        self.value += weight / self._seen * (value - self.value)

    def anew(self) -> "Mean":
        """Such a mean with this value until there is one of its own, which counts alone."""
        return Mean(self.value, self.smoothing)

    @property
    def begun(self) -> bool:
        """Whether there was a value."""
        return self._seen > 0

    @property
    def tells(self) -> bool:
        """Whether there were enough that one alone does not decide."""
        return self._seen >= _ENOUGH


def _long_mean() -> Mean:
    return Mean(smoothing=_LONG_SMOOTHING)


@dataclass
class Cost:
    """What a pass takes by its rows of logits: a straight line through the mean of the last ones.

    How steep it is the passes tell that have more or fewer rows than those before them; as long as
    there are none, that is not forgotten.  While all have had as many, it is taken to be level.
    """

    _rows: Mean = field(default_factory=Mean)
    _ms: Mean = field(default_factory=Mean)
    _squares: Mean = field(default_factory=_long_mean)
    _products: Mean = field(default_factory=_long_mean)

    def add(self, rows: float, ms: float, weight: float = 1.0) -> None:
        """One more.  ``weight``: at most 1, for one that several sessions tell of."""
        if self._ms.begun and (more := rows - self._rows.value):
            known = self._squares.value
            tells = 1.0 if math.isnan(known) else min(more * more / known, 1.0)
            self._squares.add(more * more, weight * tells)
            self._products.add(more * (ms - self._ms.value), weight * tells)
        self._rows.add(rows, weight)
        self._ms.add(ms, weight)

    def anew(self) -> "Cost":
        """The same until there is a pass, which counts alone; how steep it is remains."""
        return Cost(
            self._rows.anew(), self._ms.anew(), replace(self._squares), replace(self._products)
        )

    @property
    def value(self) -> float:
        """Milliseconds of the last ones; not a number: there were none."""
        return self._ms.value

    @property
    def tells(self) -> bool:
        """Whether there were enough that one alone does not decide."""
        return self._ms.tells

    @property
    def slope(self) -> float:
        """Milliseconds of a row."""
        if self._squares.value >= _SPREAD:
            return max(self._products.value / self._squares.value, 0.0)
        return 0.0

    def of(self, rows: float) -> float:
        """Milliseconds of one with so many rows."""
        return max(self.value + self.slope * (rows - self._rows.value), _LEAST_MS)
