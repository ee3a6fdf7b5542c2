"""A network between two ends on one machine: TCP connections with latency, jitter and bandwidth.

Bytes arrive as late as they would, in order, and can be cut off or swallowed.  It runs on a thread
and an event loop of its own, whose timers are exact to microseconds: those of epoll, which count in
milliseconds, would double a short latency.
"""

import asyncio
import random
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_CHUNK = 1 << 16
_BUFFERED = 1 << 22
"""Bytes on their way in one direction; beyond, the sender has to wait."""


@dataclass
class Link:
    """What a way between two ends is like.  May be changed at any time, for what is sent then."""

    latency_s: float = 0.0
    """Of each direction."""
    jitter_s: float = 0.0
    """At most so much more, evenly distributed."""
    bytes_per_s: float = float("inf")
    """Of each direction of a connection."""
    swallows: bool = False
    """A black hole: what is sent is never seen, and nobody is told."""
    mute: bool = False
    """Half-open: what the target sends is never seen."""


class Relay:
    """Listens on a port and passes on to a target, over a link."""

    def __init__(self, target: str, link: Link | None = None) -> None:
        self.link = link or Link()
        self.target = target
        """Where connections that are made from now on lead: host:port."""
        self._loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._connect, "127.0.0.1", 0))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reset()
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """host:port, where it listens."""
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def reset(self) -> None:
        """Cuts all connections off: both ends get a reset."""
        self._call(self._reset())

    async def _reset(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs this as one"
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            host, _, port = self.target.rpartition(":")
            out_reader, out_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self.link, (reader, writer), (out_reader, out_writer))
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """Two ends and the two directions between them."""

    def __init__(self, link: Link, client: End, target: End) -> None:
        self._link = link
        self._ends = client, target

    async def run(self) -> None:
        """Until both directions are at their end."""
        client, target = self._ends
        ways = [
            asyncio.ensure_future(_Way(self._link, client[0], target[1], answers=False).run()),
            asyncio.ensure_future(_Way(self._link, target[0], client[1], answers=True).run()),
        ]
        try:
            await asyncio.gather(*ways)
        except OSError:
            self.abort()
        finally:
            for way in ways:
                way.cancel()
            for _, writer in self._ends:
                writer.close()

    def abort(self) -> None:
        """Resets both ends."""
        for _, writer in self._ends:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes so that the other end is told of a reset, and not of an end."""
    end: socket.socket = writer.get_extra_info("socket")
    if end.fileno() == -1:  # it is closed already
        return
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class _Way:
    """One direction."""

    def __init__(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        self._link = link
        self._reader, self._writer = reader, writer
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, bytes]] = deque()
        self._buffered = 0
        self._sent_until = self._last_due = self._loop.time()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until its sender's end has arrived."""
        await asyncio.gather(self._take(), self._deliver())

    async def _take(self) -> None:
        """Reads, and reckons when it arrives."""
        while True:
            data = await self._reader.read(_CHUNK)
            link, now = self._link, self._loop.time()
            if data and (link.swallows or (link.mute and self._answers)):
                continue
            # The line is busy until all before it is sent; nothing overtakes what is before it.
            self._sent_until = max(self._sent_until, now) + len(data) / link.bytes_per_s
            arrives = self._sent_until + link.latency_s + random.uniform(0, link.jitter_s)
            self._last_due = max(self._last_due, arrives)
            self._due.append((self._last_due, data))
            self._buffered += len(data)
            self._changed.set()
            if not data:
                return
            while self._buffered > _BUFFERED:
                self._changed.clear()
                await self._changed.wait()

    async def _deliver(self) -> None:
        """Writes what is due."""
        while True:
            while not self._due:
                self._changed.clear()
                await self._changed.wait()
            due, data = self._due[0]
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            self._due.popleft()
            if not data:
                self._writer.write_eof()
                return
            self._writer.write(data)
            await self._writer.drain()
            self._buffered -= len(data)
            self._changed.set()
