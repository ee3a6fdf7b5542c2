"""How often the expert replaces a rejected token by one of the drafter's alternatives."""

_PRIOR = (0.4, 0.15, 0.08, 0.05, 0.03, 0.02, 0.02, 0.01)
"""By rank, before anything is known."""
_PRIOR_WEIGHT = 8.0
"""In rejections."""
_MEMORY = 200.0
"""Rejections beyond which old ones are forgotten."""


class Foresight:
    """By rank of the alternative: running means."""

    def __init__(self) -> None:
        self._rejections = _PRIOR_WEIGHT
        self._hits = [_PRIOR_WEIGHT * rate for rate in _PRIOR]

    def rejected(self, rank: int | None) -> None:
        """A token was replaced by the alternative of this rank; None: by none of them."""
        if self._rejections >= _MEMORY:
            keep = 1 - 1 / _MEMORY
            self._rejections *= keep
            self._hits = [hits * keep for hits in self._hits]
        self._rejections += 1
        if rank is not None:
            self._hits[rank] += 1

    def rates(self, count: int) -> list[float]:
        """The chance of each of the first ``count`` alternatives."""
        return [hits / self._rejections for hits in self._hits[:count]]
