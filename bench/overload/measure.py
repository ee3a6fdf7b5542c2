"""A router at its peak, and offered a multiple of it.

Peak: as many clients as it has sessions, each asking anew when it has its answer.  Offered:
requests that begin at even intervals, whatever has become of those before, and that are not asked
again.
Goodput: tokens that arrive in a second.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bench.errors import ServiceFailed
from services.serving.options import CHANNEL_OPTIONS

TOKENS = 48
"""Of an answer."""


@dataclass
class Outcomes:
    """What became of the requests of one measurement."""

    offered: int = 0
    finished: int = 0
    tokens: int = 0
    refused_ms: list[float] = field(default_factory=list)
    """From each refused call to its refusal, milliseconds."""
    without_retry: int = 0
    """Refusals that do not say when to try again."""
    failed: list[str] = field(default_factory=list)
    """Whatever else ended a call."""


@dataclass(frozen=True)
class Measured:
    """A run's figures."""

    peak_answers_per_s: float
    peak_tokens_per_s: float
    seconds: float
    """That requests were offered for."""
    tokens_per_s: float
    """In that time."""
    outcomes: Outcomes
    """Of all that were offered, those included that ended later."""
    answered_after: bool
    """Whether a request after it all was served."""

    @property
    def goodput(self) -> float:
        """As a share of the peak's."""
        return self.tokens_per_s / self.peak_tokens_per_s


async def measure(address: str, sessions: int, times: float, seconds: float) -> Measured:
    """Finds the peak, offers ``times`` as much for a while, then asks once more.

    Raises:
        ServiceFailed: a call at the peak failed.
    """
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        peak = await _peak(stub, sessions, seconds)
        if peak.failed or peak.refused_ms:
            why = (peak.failed or ["refused"])[0]
            raise ServiceFailed(f"at the peak, not above it: {why}")
        rate = peak.finished / seconds
        outcomes = Outcomes()
        calls = await _offer(stub, rate * times, seconds, outcomes)
        in_time = outcomes.tokens
        await asyncio.gather(*calls)
        after = Outcomes()
        await _ask(stub, 0, after)
    return Measured(
        peak_answers_per_s=rate,
        peak_tokens_per_s=peak.tokens / seconds,
        seconds=seconds,
        tokens_per_s=in_time / seconds,
        outcomes=outcomes,
        answered_after=after.finished == 1,
    )


async def _peak(
    stub: "router_pb2_grpc.RouterServiceAsyncStub", sessions: int, seconds: float
) -> Outcomes:
    """What ends within the window; what began before it makes up for what ends after it."""
    counted = Outcomes()

    async def client(seed: int) -> None:
        while True:
            await _ask(stub, seed, counted)
            seed += sessions

    await _ask(stub, 0, Outcomes())
    clients = [asyncio.create_task(client(seed)) for seed in range(sessions)]
    try:
        await asyncio.sleep(min(2.0, seconds / 4))
        finished, tokens = counted.finished, counted.tokens
        await asyncio.sleep(seconds)
        counted.finished -= finished
        counted.tokens -= tokens
    finally:
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    return counted


async def _offer(
    stub: "router_pb2_grpc.RouterServiceAsyncStub", rate: float, seconds: float, outcomes: Outcomes
) -> "list[asyncio.Task[None]]":
    """Begins ``rate`` requests a second; gives them, some of which may still run."""
    start, calls = time.perf_counter(), []
    for index in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
        calls.append(asyncio.create_task(_ask(stub, index, outcomes)))
    await asyncio.sleep(max(0.0, start + seconds - time.perf_counter()))
    return calls


async def _ask(stub: "router_pb2_grpc.RouterServiceAsyncStub", seed: int, into: Outcomes) -> None:
    """One request."""
    request = router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=[seed % 256, seed // 256 % 256, 1, 2]),
        mode=law_pb2.MODE_SPECULATIVE,
        seed=seed,
        max_tokens=TOKENS,
        allow_expert_alone=False,
    )
    into.offered += 1
    start = time.perf_counter()
    try:
        async for response in stub.Generate(request):
            into.tokens += len(response.tokens.tokens)
            into.finished += response.HasField("finished")
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
            into.failed.append(f"{error.code().name}: {error.details()}")
            return
        into.refused_ms.append(1000 * (time.perf_counter() - start))
        into.without_retry += not _says_when(error)


def _says_when(error: grpc.aio.AioRpcError) -> bool:
    call: Any = error  # raised errors are calls, too
    status = rpc_status.from_call(call)
    retry = error_details_pb2.RetryInfo()
    return status is not None and any(detail.Unpack(retry) for detail in status.details)
