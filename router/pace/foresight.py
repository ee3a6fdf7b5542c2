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
        self._rejections = [_PRIOR_WEIGHT] * len(_PRIOR)
        self._hits = [_PRIOR_WEIGHT * rate for rate in _PRIOR]

    def rejected(self, rank: int | None, known: int) -> None:
        """A token was replaced.

        Args:
            rank: of the alternative that it was replaced by; None: by none that is known.
            known: alternatives; of further ranks nothing is learned.
        """
        for i in range(known):
            if self._rejections[i] >= _MEMORY:
                keep = 1 - 1 / _MEMORY
                self._rejections[i] *= keep
                self._hits[i] *= keep
            self._rejections[i] += 1
            self._hits[i] += i == rank

    def rates(self, count: int) -> list[float]:
        """The chance of each of the first ``count`` alternatives."""
        pairs = zip(self._hits[:count], self._rejections, strict=False)
        return [hits / rejections for hits, rejections in pairs]
