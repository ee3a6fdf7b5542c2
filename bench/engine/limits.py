"""What a pod takes when it is full, and what it says to one session too many."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from cascade.v1 import expert_pb2, expert_pb2_grpc, law_pb2, model_pb2, model_pb2_grpc

from bench.errors import ServiceFailed
from bench.progress import Bar
from bench.services import service
from services.serving import law as laws
from services.serving.options import CHANNEL_OPTIONS
from services.tokens import TokenSequence

SLOTS, WAITING, BUDGET = 16, 4, 1 << 30
SPARE = 1 << 30
"""Bytes that a pod may take beside its weights and its cache."""

FULL = 0.9
"""Share of the cache that is filled."""

Stream = grpc.aio.StreamStreamCall[expert_pb2.VerifyRequest, expert_pb2.VerifyResponse]


@dataclass(frozen=True)
class Limits:
    """One pod, full."""

    weight_bytes: int
    cache_bytes: int
    cache_tokens: int
    filled_tokens: int
    loaded_bytes: int
    """Resident before the first session."""
    peak_bytes: int
    """The most resident while the cache was filled."""
    waited: bool
    """Whether the session after the slots' last waited, and came in when one had gone."""
    refused_s: float
    """Until the session after the queue's last was refused."""

    @property
    def limit_bytes(self) -> int:
        """Weights, cache and the spare."""
        return self.weight_bytes + self.cache_bytes + SPARE


def measure(folder: Path, dtype: str, budget: int, bar: Bar) -> Limits:
    """Fills an expert's pod.

    Raises:
        ServiceFailed: it did not start, or failed a session.
    """
    bar.say("a full pod: loading")
    flags = ["--model", str(folder.absolute()), "--device", "cpu", "--dtype", dtype]
    flags += ["--cache-bytes", str(budget), "--slots", str(SLOTS), "--max-waiting", str(WAITING)]
    with (
        tempfile.TemporaryDirectory() as logs,
        service(Path(logs), "expert", "services.expert", flags) as pod,
    ):
        address, process = pod.address(600), psutil.Process(pod.pid)
        loaded = process.memory_info().rss
        # The high-water mark begins anew, at what is there now.
        Path(f"/proc/{pod.pid}/clear_refs").write_text("5")
        found = asyncio.run(_fill(address, pod.pid, loaded, bar))
    bar.advance()
    return found


def _high_water(pid: int) -> int:
    """The most memory that was ever resident, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise ServiceFailed("the system does not tell the most memory that a process took")


async def _fill(address: str, pid: int, loaded: int, bar: Bar) -> Limits:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        info = await model_pb2_grpc.ModelServiceStub(channel).GetModelInfo(
            model_pb2.GetModelInfoRequest()
        )
        stub = expert_pb2_grpc.ExpertServiceStub(channel)
        each = int(FULL * info.cache_tokens / SLOTS)
        streams: list[Stream] = []
        for i in range(SLOTS):
            bar.say(f"a full pod: session {i + 1}")
            streams.append(await _open(stub))
            await _fed(streams[-1], [(i + 3 * j) % 251 for j in range(each)])
        late = asyncio.create_task(_open(stub))
        await asyncio.sleep(1)
        waited = not late.done()
        queue = [asyncio.create_task(_open(stub)) for _ in range(WAITING - 1)]
        await asyncio.sleep(1)
        start = time.perf_counter()
        try:
            await _open(stub)
            raise ServiceFailed("one session too many was taken")
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise ServiceFailed(f"one session too many: {error.details()}") from error
        refused_s = time.perf_counter() - start
        streams.pop().cancel()
        streams.append(await late)
        for call in queue:
            call.cancel()
        for stream in streams:
            stream.cancel()
    return Limits(
        weight_bytes=info.weight_bytes,
        cache_bytes=info.cache_bytes,
        cache_tokens=info.cache_tokens,
        filled_tokens=SLOTS * each,
        loaded_bytes=loaded,
        peak_bytes=_high_water(pid),
        waited=waited,
        refused_s=refused_s,
    )


async def _open(stub: "expert_pb2_grpc.ExpertServiceAsyncStub") -> Stream:
    """A session that has its slot.

    Raises:
        grpc.aio.AioRpcError: it was refused.
    """
    law = laws.with_defaults(
        law_pb2.Law(mode=law_pb2.MODE_SPECULATIVE, top_p=1, candidates=64), alpha_given=False
    )
    call = stub.Verify()
    await call.write(expert_pb2.VerifyRequest(open=expert_pb2.OpenVerify(law=law)))
    if await call.read() is grpc.aio.EOF:
        raise grpc.aio.AioRpcError(
            await call.code(), grpc.aio.Metadata(), grpc.aio.Metadata(), await call.details()
        )
    return call


async def _fed(call: Stream, tokens: list[int]) -> None:
    """Has the pod see tokens."""
    step = expert_pb2.VerifyStep(append=tokens, prefix_hash=TokenSequence(tokens).hash())
    await call.write(expert_pb2.VerifyRequest(verify=step))
    if await call.read() is grpc.aio.EOF:
        raise ServiceFailed(f"a session ended: {await call.details()}")
