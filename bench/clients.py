"""Clients that ask without an end, as tasks."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any


class Clients:
    """Some that run."""

    def __init__(self, tasks: "list[asyncio.Task[None]]") -> None:
        self._tasks = tasks

    async def run(self, seconds: float) -> None:
        """Waits; a client that ends has failed, and what it raised is raised here."""
        done, _ = await asyncio.wait(
            self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()


@asynccontextmanager
async def running(clients: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[Clients]:
    """Starts them; in the end they are cancelled."""
    tasks = [asyncio.create_task(client) for client in clients]
    try:
        yield Clients(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
