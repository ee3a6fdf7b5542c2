"""What an echo takes through a relay, so that a link takes what it says and no more.

Between two machines bytes take the link's time and nothing else.  A relay takes some tenths of a
millisecond beside that, in each direction: its thread wakes up, reads, reckons, waits, and writes.
"""

import contextlib
import socket
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from statistics import median
from threading import Thread

from bench.child import child
from bench.relay import Link, Relay

_BYTES = 200
"""Of an echo: about a message's."""
_PAUSE_S = 0.015
_ECHOES = 100


def latency_for(round_trip_s: float) -> float:
    """The latency with which an echo through a relay takes so much longer than without.

    Measured, as the medians of echoes in turn: what the relay takes itself is left out of it.

    Args:
        round_trip_s: seconds.
    """
    latency_s = round_trip_s / 2
    with ExitStack() as stack:
        address = f"127.0.0.1:{stack.enter_context(child(_serve)).recv()}"
        relay = stack.enter_context(Relay(address, Link(latency_s)))
        direct, relayed = (stack.enter_context(_connect(to)) for to in (address, relay.address))
        pairs = [(_echo_s(direct), _echo_s(relayed)) for _ in range(_ECHOES)]
    longer_s = median(late for _, late in pairs) - median(soon for soon, _ in pairs)
    return max(latency_s - (longer_s - round_trip_s) / 2, 0.0)


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _echo_s(connection: socket.socket) -> float:
    """Seconds of an echo, after a pause in which all who take part sleep, as they do in a round."""
    time.sleep(_PAUSE_S)
    began = time.perf_counter()
    connection.sendall(bytes(_BYTES))
    left = _BYTES
    while left:
        data = connection.recv(left)
        assert data, "the echo's process lives"
        left -= len(data)
    return time.perf_counter() - began


def _serve(pipe: Connection) -> None:
    """Tells its port, and sends back what it gets until it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        while True:
            connection, _ = server.accept()
            Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, contextlib.suppress(ConnectionError):
        while data := connection.recv(_BYTES):
            connection.sendall(data)
