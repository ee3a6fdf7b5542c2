"""Finds a peer that went silent while somebody waits for it.

A step may wait in a queue or be long: silence alone is no failure.  So when a wait exceeds its
limit, the pod is asked whether it is there, on a call of its own; only one that does not answer
that either is given up.  This takes seconds; keepalive takes fifteen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType


class Silence:
    """Watches while its block waits."""

    def __init__(
        self, limit_s: float, answers: Callable[[], Awaitable[bool]], give_up: Callable[[], object]
    ) -> None:
        """Watches nothing yet.

        Args:
            limit_s: seconds, after which it asks, again and again.
            answers: whether the pod does.
            give_up: called once, where it does not.
        """
        self._limit_s = limit_s
        self._answers = answers
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._arm()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._doubt)

    def _doubt(self) -> None:
        self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        if await self._answers():
            self._arm()
        else:
            self._give_up()
