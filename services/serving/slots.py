"""The sessions that a pod can hold at once, and the bounded queue of those that wait."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.errors import CascadeError, Overloaded


class Slots:
    """A fair gate of ``total`` places.  Waiters are served in order; one too many is refused."""

    def __init__(self, total: int, max_waiting: int) -> None:
        self.total = total
        self._max_waiting = max_waiting
        self._gate = asyncio.Semaphore(total)
        self._held = 0
        self._refusal: CascadeError | None = None
        self.waiting = 0
        """Sessions that wait for a place."""

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        return self.total - self._held

    def refuse(self, why: CascadeError) -> None:
        """Nobody gets a place from now on, those that wait included."""
        self._refusal = why
        for _ in range(self.waiting):
            self._gate.release()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[float]:
        """Holds a place; gives the seconds that it took to get it.

        Raises:
            Overloaded: too many wait.
            CascadeError: what ``refuse`` was given.
        """
        if self._gate.locked() and self.waiting >= self._max_waiting:
            raise Overloaded(f"all {self.total} slots are taken and {self.waiting} sessions wait")
        start = time.perf_counter()
        self.waiting += 1
        try:
            await self._gate.acquire()
        finally:
            self.waiting -= 1
        if self._refusal:
            raise self._refusal
        self._held += 1
        try:
            yield time.perf_counter() - start
        finally:
            self._held -= 1
            self._gate.release()
