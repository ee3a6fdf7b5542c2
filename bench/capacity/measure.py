"""Many sessions at once for a while, and one session alone."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from bench.bare import Sizes
from bench.capacity.services import Placed
from bench.clients import running
from bench.errors import ServiceFailed
from services.serving.options import CHANNEL_OPTIONS

BLOCK_LENGTH = 5
_TOKENS = 256
"""Of an answer."""


@dataclass(frozen=True)
class Load:
    """What one router did under a load."""

    sessions: int
    rounds_per_s: float
    router_cpu_ms: float
    """Of a round."""
    router_busy: float
    """Share of its core."""
    pods_cpu_ms: float
    """Of a round, both together."""


@dataclass(frozen=True)
class Added:
    """A round of one session alone, milliseconds, medians over answers."""

    round_ms: float
    pods_ms: float
    """What both models' passes took in it."""
    queue_ms: float
    """What steps waited for the thread of their model, which sleeps until one comes."""

    @property
    def added_ms(self) -> float:
        """All the rest: router, messages, both services, the client."""
        return self.round_ms - self.pods_ms - self.queue_ms


async def load(services: Placed, sessions: int, seconds: float) -> Load:
    """As many answers at a time, one after another."""
    async with grpc.aio.insecure_channel(services.address, options=CHANNEL_OPTIONS) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        await asyncio.gather(*(_answer(stub, seed, 32) for seed in range(sessions)))
        counted = _Counted()
        async with running(_client(stub, i, counted) for i in range(sessions)) as clients:
            await clients.run(min(1.0, seconds / 4))
            before, rounds, start = _cpu(services), counted.rounds, time.perf_counter()
            await clients.run(seconds)
            wall_s, done = time.perf_counter() - start, counted.rounds - rounds
            router_s, pods_s = (b - a for a, b in zip(before, _cpu(services), strict=True))
    return Load(
        sessions=sessions,
        rounds_per_s=done / wall_s,
        router_cpu_ms=1000 * router_s / done,
        router_busy=router_s / wall_s,
        pods_cpu_ms=1000 * pods_s / done,
    )


async def added(services: Placed, answers: int) -> Added:
    """One session, one answer after another."""
    rounds_ms, pods_ms, queue_ms = [], [], []
    async with grpc.aio.insecure_channel(services.address, options=CHANNEL_OPTIONS) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        await _answer(stub, 0, _TOKENS)
        for seed in range(answers):
            arrivals, stats = await _answer(stub, seed, _TOKENS)
            # Means both, as the pods tell theirs: a median beside a mean would hide the long ones.
            rounds_ms.append(1000 * (arrivals[-1] - arrivals[0]) / (stats.rounds - 1))
            pods_ms.append((stats.draft_ms + stats.verify_ms) / stats.rounds)
            queue_ms.append(stats.queue_ms / stats.rounds)
    return Added(median(rounds_ms), median(pods_ms), median(queue_ms))


async def sizes(services: Placed) -> Sizes:
    """Of an average round's messages, those that open the sessions included."""
    async with grpc.aio.insecure_channel(services.address, options=CHANNEL_OPTIONS) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        _, stats = await _answer(stub, 0, _TOKENS)
    return Sizes.of_a_round(stats)


@dataclass
class _Counted:
    """Rounds so far, of all answers."""

    rounds: int = 0


async def _client(
    stub: "router_pb2_grpc.RouterServiceAsyncStub", index: int, counted: _Counted
) -> None:
    seed = index
    while True:
        await _answer(stub, seed, _TOKENS, counted)
        seed += 1000


async def _answer(
    stub: "router_pb2_grpc.RouterServiceAsyncStub",
    seed: int,
    tokens: int,
    counted: "_Counted | None" = None,
) -> tuple[list[float], router_pb2.Statistics]:
    """When each round's tokens arrived, and the statistics."""
    request = router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=[seed % 256, seed // 256 % 256, 1, 2]),
        mode=law_pb2.MODE_SPECULATIVE,
        temperature=1.0,
        seed=seed,
        max_tokens=tokens,
        block_length=BLOCK_LENGTH,
        draft_ahead=0,
        allow_expert_alone=False,
    )
    arrivals, stats = [], router_pb2.Statistics()
    try:
        async for response in stub.Generate(request):
            if response.HasField("tokens"):
                arrivals.append(time.perf_counter())
                if counted:
                    counted.rounds += 1
            elif response.HasField("finished"):
                stats = response.finished.statistics
                if counted:  # a round whose tokens hold half a character shares a response
                    counted.rounds += stats.rounds - len(arrivals)
    except grpc.aio.AioRpcError as error:
        raise ServiceFailed(f"Generate: {error.code().name}: {error.details()}") from error
    return arrivals, stats


def _cpu(services: Placed) -> tuple[float, float]:
    """Seconds of CPU time so far: the router's, both pods'."""
    used = [sum(process.cpu_times()[:2]) for process in (services.router, *services.pods)]
    return used[0], sum(used[1:])
