"""Finds a peer that went silent while somebody waits for it.

A step may wait in a queue or be long: silence alone is no failure.  So when a wait exceeds its
limit, the pod is asked whether it is there, on a call of its own; only one that does not answer
that either is given up.  This takes seconds; keepalive takes fifteen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType


class Silence:
    """Watches while its block waits; one block after another.

    One timer serves many short waits: it is set when a wait begins and none is set, and looks, when
    it ends, whether one goes on.
    """

    def __init__(
        self,
        limit_s: Callable[[], float],
        answers: Callable[[], Awaitable[bool]],
        give_up: Callable[[], object],
    ) -> None:
        """Watches nothing yet.

        Args:
            limit_s: seconds of a wait, after which it asks, again and again.
            answers: whether the pod does.
            give_up: called once, where it does not.
        """
        self._limit_s = limit_s
        self._answers = answers
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        """When the wait that goes on began, or when the pod answered last during it."""
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._limit_s(), self._look)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._since = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def close(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        ends = self._since + self._limit_s()
        if self._loop.time() < ends:
            self._timer = self._loop.call_at(ends, self._look)
        else:
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        if not await self._answers():
            self._give_up()
        elif self._since is not None:
            self._since = self._loop.time()
            self._timer = self._loop.call_at(self._since + self._limit_s(), self._look)
