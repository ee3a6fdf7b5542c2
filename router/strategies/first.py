"""Waits for both sessions at once, and hands on what comes first."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cascade.v1 import drafter_pb2, expert_pb2

Piece = drafter_pb2.DraftedBlock | drafter_pb2.DraftedForks

T = TypeVar("T")


class First:
    """A piece of the drafter or a verdict of the expert.  What has not come yet stays awaited."""

    def __init__(
        self,
        read_piece: Callable[[], Coroutine[Any, Any, Piece | None]],
        read_verdict: Callable[[], Coroutine[Any, Any, expert_pb2.Verdict]],
    ) -> None:
        """Reads nothing yet.  A piece that is none tells that there will be no more."""
        self._read_piece, self._read_verdict = read_piece, read_verdict
        self._piece: asyncio.Task[Piece | None] | None = None
        self._verdict: asyncio.Task[expert_pb2.Verdict] | None = None

    async def of(
        self, *, piece: bool, verdict: bool
    ) -> tuple[Piece | None, expert_pb2.Verdict | None]:
        """What came first, or both.

        Args:
            piece: whether one is awaited.
            verdict: whether one is.

        Raises:
            CascadeError: the expert's.
        """
        if self._piece is None and self._verdict is None and piece != verdict:
            if piece:
                return await self._read_piece(), None
            return None, await self._read_verdict()
        if piece and self._piece is None:
            self._piece = asyncio.create_task(self._read_piece())
        if verdict and self._verdict is None:
            self._verdict = asyncio.create_task(self._read_verdict())
        reading = [task for task in (self._piece, self._verdict) if task is not None]
        assert reading, "one of them is awaited"
        await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        decided, self._verdict = _taken(self._verdict)
        drafted, self._piece = _taken(self._piece)
        return drafted, decided

    def leave(self) -> None:
        """Lets go of what is still awaited."""
        for reading in (self._piece, self._verdict):
            if reading is not None and not reading.cancel() and not reading.cancelled():
                reading.exception()  # known: the other's came first


def _taken(reading: "asyncio.Task[T] | None") -> "tuple[T | None, asyncio.Task[T] | None]":
    """The result of a reading that is done, and what is left to wait for."""
    if reading is None or not reading.done():
        return None, reading
    return reading.result(), None
