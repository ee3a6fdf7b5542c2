"""Leaves a pod that keeps failing alone for a while, then tries it once."""

import random
import time
from collections.abc import Callable
from enum import Enum

from router.backoff import Backoff

FAILURES = 3
"""In a row, that open the breaker."""
_FIRST_S, _MOST_S = 0.5, 30.0


class BreakerState(Enum):
    """Values as in the metric."""

    CLOSED = 0
    """Sessions may begin."""
    TRIED = 1
    """One has begun, and all others wait until it is open."""
    OPEN = 2
    """None may begin for a while; then one may."""


class Breaker:
    """Of one pod."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Closed.

        Args:
            clock: seconds.
            draw: numbers in [0, 1), for the jitter.
        """
        self._clock = clock
        self._backoff = Backoff(_FIRST_S, _MOST_S, draw)
        self._failures = 0
        self._seen = 0
        self._until = 0.0
        self.state = BreakerState.CLOSED

    @property
    def allows(self) -> bool:
        """Whether a session may begin now."""
        if self.state is BreakerState.OPEN:
            return self._clock() >= self._until
        return self.state is BreakerState.CLOSED

    def began(self) -> int:
        """A session begins, as was allowed; gives what ``failed`` wants to know of it."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.TRIED
        return self._seen

    def opened(self) -> None:
        """The pod is there: others may begin.  The next failure opens the breaker again."""
        if self.state is BreakerState.TRIED:
            self.state = BreakerState.CLOSED

    def succeeded(self) -> None:
        """A session got an answer.  One from before the failures says nothing of now."""
        if self.state is not BreakerState.OPEN:
            self.state = BreakerState.CLOSED
            self._failures = 0
            self._backoff.reset()

    def failed(self, began: int) -> None:
        """A session lost the pod.

        Many are lost at once: one that began before the last failure tells of the same.

        Args:
            began: what ``began`` gave.
        """
        if self.state is BreakerState.OPEN or began < self._seen:
            return
        self._seen += 1
        self._failures += 1
        if self.state is BreakerState.TRIED or self._failures >= FAILURES:
            self.state = BreakerState.OPEN
            self._until = self._clock() + self._backoff.next_s()

    def abandoned(self) -> None:
        """A session ended and nobody knows how it would have gone: another may try."""
        if self.state is BreakerState.TRIED:
            self.state = BreakerState.OPEN
