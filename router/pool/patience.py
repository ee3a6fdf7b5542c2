"""How long a pod may say nothing before it is asked whether it is still there."""

_LEAST_S = 1.0
_TIMES = 5.0
_WEIGHT = 0.05
"""Of the newest wait in the running mean."""


class Patience:
    """With the pods of one role: the larger of a second and five times what an answer takes."""

    def __init__(self) -> None:
        self._mean_s = 0.0

    def waited(self, seconds: float) -> None:
        """A pod answered after so long."""
        self._mean_s += _WEIGHT * (seconds - self._mean_s)

    def limit_s(self) -> float:
        """How long, in seconds."""
        return max(_LEAST_S, _TIMES * self._mean_s)
