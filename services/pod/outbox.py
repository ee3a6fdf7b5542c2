"""What the engine's worker hands to the event loop: one waking for all results of a pass."""

import asyncio
from collections import deque
from collections.abc import Callable


class Outbox:
    """Calls made on another thread, carried out in their order on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._woken = False

    def put(self, call: Callable[[], None]) -> None:
        """Has ``call`` made on the loop soon.  Thread-safe."""
        self._calls.append(call)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # first: what is put from now on wakes the loop again
        while self._calls:
            self._calls.popleft()()
