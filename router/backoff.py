"""How long to wait before something that failed is tried again: longer each time, never alike."""

import random
from collections.abc import Callable


class Backoff:
    """Exponential, with jitter: each delay is drawn from the upper half of its range."""

    def __init__(
        self, first_s: float, most_s: float, draw: Callable[[], float] = random.random
    ) -> None:
        """The ranges end at ``first_s``, then twice that, and so on up to ``most_s``.

        Args:
            first_s, most_s: seconds.
            draw: gives numbers in [0, 1).
        """
        self._first_s = self._range_s = first_s
        self._most_s = most_s
        self._draw = draw

    def next_s(self) -> float:
        """The next delay, seconds."""
        delay_s = self._range_s * (0.5 + 0.5 * self._draw())
        self._range_s = min(2 * self._range_s, self._most_s)
        return delay_s

    def reset(self) -> None:
        """It went well: the next delay is a first one."""
        self._range_s = self._first_s
