"""A network between two ends on one machine: TCP connections with latency, jitter and bandwidth.

Bytes arrive as late as they would, in order, and can be cut off or swallowed.  It runs on a thread
and an event loop of its own, whose timers are exact to microseconds: those of epoll, which count in
milliseconds, would double a short latency.
"""

import asyncio
import contextlib
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
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server

    def __enter__(self) -> "Relay":
        self._thread.start()
        self._server = self._call(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(self._accept, "127.0.0.1", 0)

    def _accept(self) -> "_End":
        connection = _Connection(self.link, self.target, self._connections)
        return connection.client

    async def _reset(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    async def _close(self) -> None:
        self._server.close()
        await self._reset()
        connecting = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*connecting, return_exceptions=True)

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


class _Connection:
    """Two ends."""

    def __init__(self, link: Link, target: str, open_ones: "set[_Connection]") -> None:
        self._target, self._open = target, open_ones
        self._open.add(self)
        self.client = _End(self, link, gets_answers=True)
        self._server = _End(self, link, gets_answers=False)
        self.client.other, self._server.other = self._server, self.client
        self._connecting: asyncio.Task[None] | None = None

    def made(self, end: "_End") -> None:
        """An end is connected: the client's first, which is not read until the target's is."""
        if end is self.client:
            end.transport.pause_reading()
            self._connecting = asyncio.create_task(self._connect())
        else:
            self.client.transport.resume_reading()

    async def _connect(self) -> None:
        host, _, port = self._target.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self._server, host, int(port))
        except OSError:
            self.reset()

    def close_if_done(self) -> None:
        """Closes when each end has sent all, and got all."""
        if self.client.told_end and self._server.told_end:
            self._open.discard(self)
            self.client.transport.close()
            self._server.transport.close()

    def reset(self) -> None:
        """Cuts off: both ends get a reset."""
        self._open.discard(self)
        if self._connecting:
            self._connecting.cancel()
        self.client.reset()
        self._server.reset()


class _End(asyncio.Protocol):
    """One end of a connection, and what is on its way to it."""

    other: "_End"

    def __init__(self, connection: _Connection, link: Link, *, gets_answers: bool) -> None:
        self._connection, self._link = connection, link
        self._gets_answers = gets_answers
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, bytes]] = deque()
        self._buffered = 0
        self._sent_until = self._last_due = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        self.told_end = False
        """The end of what the other one sends has arrived."""

    @property
    def transport(self) -> asyncio.Transport:
        """To it, once it is connected."""
        assert self._transport, "connected"
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        assert isinstance(transport, asyncio.Transport), "bytes both ways"
        self._transport = transport
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        """It has sent something."""
        self.other.send(data)

    def eof_received(self) -> bool:
        """It sends no more, but may still get something."""
        self.other.send(b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone: closed from here, or by an error, which the other one is told by a reset."""
        if error:
            self._connection.reset()

    def pause_writing(self) -> None:
        """It gets more than it reads."""
        self._full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        self._deliver()

    def send(self, data: bytes) -> None:
        """Reckons when it arrives.  Nothing: there will be no more."""
        link, now = self._link, self._loop.time()
        if data and (link.swallows or (link.mute and self._gets_answers)):
            return
        # The line is busy until all before it is sent; nothing overtakes what is before it.
        self._sent_until = max(self._sent_until, now) + len(data) / link.bytes_per_s
        arrives = self._sent_until + link.latency_s + random.uniform(0, link.jitter_s)
        self._last_due = max(self._last_due, arrives)
        self._due.append((self._last_due, data))
        self._buffered += len(data)
        self._deliver()

    def _deliver(self) -> None:
        """Passes on what is due, and comes again when more is."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._due and not self._full and self._due[0][0] <= self._loop.time():
            _, data = self._due.popleft()
            self._buffered -= len(data)
            if data:
                self.transport.write(data)
            else:
                with contextlib.suppress(OSError):  # it may be gone, and not yet told
                    self.transport.write_eof()
                self.told_end = True
                self._connection.close_if_done()
        if self._due and not self._full:
            self._timer = self._loop.call_at(self._due[0][0], self._deliver)
        if self._buffered > _BUFFERED:
            self.other.transport.pause_reading()
        else:
            self.other.transport.resume_reading()

    def reset(self) -> None:
        """Closes so that it is told of a reset, and not of an end."""
        if self._timer:
            self._timer.cancel()
        self._due.clear()
        if self._transport is None or self._transport.is_closing():
            return
        end: socket.socket = self._transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
