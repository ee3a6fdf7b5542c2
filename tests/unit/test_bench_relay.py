"""The relay: bytes come whole, in order, late, or not at all, as the link says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bench.relay import Link, Relay

SOON_S = 0.3


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(65536):
                        connection.sendall(data)
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def connect(relay: Relay) -> socket.socket:
    host, _, port = relay.address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(20)
    return connection


def receive(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (data := connection.recv(65536)):
        found += data
    return found


@pytest.mark.parametrize(
    "link",
    [Link(), Link(latency_s=0.02), Link(jitter_s=0.01), Link(bytes_per_s=20e6)],
    ids=["bare", "late", "jitter", "narrow"],
)
def test_all_bytes_come_in_order(echo: str, link: Link) -> None:
    sent = bytes(range(251)) * 24_000  # more than may be under way at once
    with Relay(echo, link) as relay, connect(relay) as connection:
        writer = threading.Thread(target=connection.sendall, args=(sent,))
        writer.start()
        assert receive(connection, len(sent)) == sent
        writer.join()


def test_nothing_comes_before_its_time(echo: str) -> None:
    """A round trip takes both latencies; what was sent before a change keeps its own."""
    link = Link(latency_s=0.1)
    with Relay(echo, link) as relay, connect(relay) as connection:
        start = time.perf_counter()
        connection.sendall(b"x")
        assert receive(connection, 1) == b"x"
        assert time.perf_counter() - start >= 0.2


def test_a_sender_waits_where_too_much_is_under_way(echo: str) -> None:
    with Relay(echo, Link(latency_s=60)) as relay, connect(relay) as connection:
        connection.settimeout(SOON_S)
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(64_000_000))


def test_an_end_is_passed_on(echo: str) -> None:
    with Relay(echo, Link(latency_s=0.01)) as relay, connect(relay) as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 100) == b"last words"
        assert connection.recv(1) == b""


def test_a_reset_cuts_both_ends(echo: str) -> None:
    with Relay(echo) as relay, connect(relay) as connection:
        connection.sendall(b"x")
        assert receive(connection, 1) == b"x"
        assert relay.connections == 1
        relay.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        with connect(relay) as again:
            again.sendall(b"y")
            assert receive(again, 1) == b"y"


@pytest.mark.parametrize("link", [Link(swallows=True), Link(mute=True)], ids=["hole", "half-open"])
def test_what_is_swallowed_never_comes(echo: str, link: Link) -> None:
    with Relay(echo, link) as relay, connect(relay) as connection:
        connection.sendall(b"x")
        connection.settimeout(SOON_S)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        link.swallows = link.mute = False
        connection.sendall(b"y")
        assert receive(connection, 1) == b"y"


def test_a_target_that_is_not_there_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        Relay(address) as relay,
        connect(relay) as connection,
        pytest.raises(ConnectionResetError),
    ):
        connection.recv(1)
