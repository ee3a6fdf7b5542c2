"""Ends an answer whose client has stopped reading: it would hold its place and slots for ever."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
import structlog

from services.errors import DeadlinePassed
from services.serving.status import abort

log = structlog.get_logger()

T = TypeVar("T")

Context = grpc.aio.ServicerContext[Any, Any]


async def while_read(
    responses: AsyncGenerator[T, None], limit_s: float, context: Context
) -> AsyncGenerator[T, None]:
    """The responses, as long as each is taken in time; then the task of the call is cancelled.

    gRPC takes a response as soon as there is room for it in what the client lets be on its way, so
    only one that lies behind by all of that is waited for.  A client that comes back finds the rest
    of that and DEADLINE_EXCEEDED.

    Args:
        responses: of the call whose task iterates over this.
        limit_s: seconds that a response may wait.  0: for ever.
        context: of the call.
    """
    task = asyncio.current_task()
    assert task is not None, "a call has a task"
    loop = asyncio.get_running_loop()

    def end() -> None:
        error = DeadlinePassed(f"the client has let a response wait for {limit_s:g} s")
        log.warning("unread", text=str(error))
        _sent.add(sending := asyncio.create_task(_send(context, error)))
        sending.add_done_callback(_sent.discard)
        task.cancel()

    async with aclosing(responses):
        async for response in responses:
            timer = loop.call_later(limit_s, end) if limit_s else None
            try:
                yield response
            finally:
                if timer is not None:
                    timer.cancel()


_sent: set[asyncio.Task[None]] = set()
"""What ends calls, for as long as clients do not take it: tasks that nobody holds may vanish."""


async def _send(context: Context, error: DeadlinePassed) -> None:
    with contextlib.suppress(Exception):  # it always raises, and the call is over anyhow
        await abort(context, error)
