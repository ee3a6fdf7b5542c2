"""The limit: messages of the same sizes over bare streams, with nothing done about them.

Two processes answer every message, at once or after the time of a pass.  A third one asks the
first, then the second, and so on, for one session or many at a time: what a router would do if it
had nothing to decide and no client.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
import psutil
from cascade.v1 import router_pb2

from bench.child import child
from bench.relay import Link, Relay
from services.engine.deadline import sleep_until
from services.serving.options import CHANNEL_OPTIONS

_SERVICE, _METHOD = "bench.Bare", "Stream"
_WARM_UP_S = 0.5
_LEAST_ROUNDS = 10


@dataclass(frozen=True)
class Sizes:
    """Bytes of a round's messages."""

    drafter_up: int
    drafter_down: int
    expert_up: int
    expert_down: int

    @classmethod
    def of_a_round(cls, stats: router_pb2.Statistics) -> "Sizes":
        """Of an average round's, those that open the sessions included."""
        return cls(
            stats.drafter_bytes_up // stats.rounds,
            stats.drafter_bytes_down // stats.rounds,
            stats.expert_bytes_up // stats.rounds,
            stats.expert_bytes_down // stats.rounds,
        )


@dataclass(frozen=True)
class Bare:
    """What the bare streams did."""

    sessions: int
    rounds_per_s: float
    cpu_ms: float
    """Of the process that asks, a round."""


def bare(
    sizes: Sizes,
    sessions: int,
    seconds: float,
    *,
    cores: Sequence[int] = (),
    passes_s: tuple[float, float] = (0.0, 0.0),
    link: Link | None = None,
) -> Bare:
    """Rounds of so many sessions, for so long.

    Args:
        sizes: of the messages.
        sessions: at a time.
        seconds: measured.
        cores: the first is for the process that asks, where there are others; none: no process is
            bound to any.
        passes_s: what either peer takes to answer.
        link: what lies between, if anything.
    """
    own, others = (cores[:1], cores[1:]) if len(cores) > 1 else (cores, cores)
    with ExitStack() as stack:
        peers = [
            stack.enter_context(child(_serve, size, pass_s, others))
            for size, pass_s in zip((sizes.drafter_down, sizes.expert_down), passes_s, strict=True)
        ]
        addresses = [f"127.0.0.1:{peer.recv()}" for peer in peers]
        if link is not None:
            relays = [stack.enter_context(Relay(address, link)) for address in addresses]
            addresses = [relay.address for relay in relays]
        asking = stack.enter_context(child(_ask, sizes, addresses, sessions, seconds, own))
        rounds, wall_s, cpu_s = asking.recv()
    return Bare(sessions, rounds / wall_s, 1000 * cpu_s / rounds)


def _serve(connection: Connection, size: int, pass_s: float, cores: Sequence[int]) -> None:
    """A peer: it tells its port, and answers until it is killed."""
    _bind(cores)
    asyncio.run(_answer(connection, bytes(size), pass_s))


async def _answer(connection: Connection, answer: bytes, pass_s: float) -> None:
    worker = _Worker(pass_s) if pass_s else None

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            if worker:
                await worker.run()
            await context.write(answer)

    server = grpc.aio.server()
    handlers: Any = {_METHOD: grpc.stream_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    connection.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


class _Worker:
    """A thread that waits, one pass after another, as an engine's does."""

    def __init__(self, pass_s: float) -> None:
        self._pass_s = pass_s
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[asyncio.Future[None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def run(self) -> None:
        """A pass."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._asked.put(done)
        await done

    def _work(self) -> None:
        while True:
            done = self._asked.get()
            sleep_until(time.perf_counter() + self._pass_s)
            self._loop.call_soon_threadsafe(_tell, done)


def _tell(done: asyncio.Future[None]) -> None:
    """Who asked may be gone."""
    if not done.done():
        done.set_result(None)


def _bind(cores: Sequence[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


def _ask(
    connection: Connection,
    sizes: Sizes,
    addresses: Sequence[str],
    sessions: int,
    seconds: float,
    cores: Sequence[int],
) -> None:
    """The process that asks: it tells rounds, seconds, and seconds of its CPU time."""
    _bind(cores)
    connection.send(asyncio.run(_rounds(sizes, addresses, sessions, seconds)))


async def _rounds(
    sizes: Sizes, addresses: Sequence[str], sessions: int, seconds: float
) -> tuple[int, float, float]:
    ends: list[float] = []

    async def session(channels: Sequence[grpc.aio.Channel]) -> None:
        calls: list[Any] = [
            channel.stream_stream(f"/{_SERVICE}/{_METHOD}")() for channel in channels
        ]
        steps = list(zip(calls, (bytes(sizes.drafter_up), bytes(sizes.expert_up)), strict=True))
        while True:
            for call, message in steps:
                await call.write(message)
                await call.read()
            ends.append(time.perf_counter())

    channels = [
        grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for address in addresses
    ]
    running = [asyncio.create_task(session(channels)) for _ in range(sessions)]
    me = psutil.Process()
    await asyncio.sleep(_WARM_UP_S)
    ends.clear()
    cpu = sum(me.cpu_times()[:2])
    await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    while len(ends) < _LEAST_ROUNDS and not any(task.done() for task in running):
        await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    cpu = sum(me.cpu_times()[:2]) - cpu
    for task in running:
        if task.done():
            task.result()  # it has failed
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return len(ends) - 1, ends[-1] - ends[0], cpu  # from the end of a round to that of another
