"""Waiting for what sets no event here: another process's state, or another thread's."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool | Awaitable[bool]], every_s: float = 0.02) -> None:
    """Asks again and again until it holds; the test's own limit ends a wait for nothing."""
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        await asyncio.sleep(every_s)
