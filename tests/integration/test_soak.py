"""Thousands of sessions, dropped at random points: memory stays flat, nothing is left behind."""

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import grpc
import psutil
import pytest
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from tests import services
from tests.integration.test_metrics import metrics
from tests.services import TINY, Process, Services
from tests.tls import open_channel

SETTLED = 500
"""Sessions after which memory has to stay flat."""
AT_ONCE = 24
GROWTH = {"drafter": 0.02, "expert": 0.02, "router": 0.05}
"""Of the router's 70 MB, growth is the allocator's: none is left after some thousand sessions."""
EACH = 20
"""Answers that a client waits for when it is killed."""

# Not ever new ones: the tokenizers library remembers up to 10,000 words, and grows until it does.
TEXTS = ["".join(random.Random(i).choices("abcdef \n", k=1 + 3 * i)) for i in range(20)]

MODES = [
    law_pb2.MODE_DRAFTER,
    law_pb2.MODE_EXPERT,
    law_pb2.MODE_SPECULATIVE,
    law_pb2.MODE_SPECULATIVE_CASCADE,
    law_pb2.MODE_TOKEN_CASCADE,
    law_pb2.MODE_SEQUENCE_CASCADE,
]


@pytest.fixture
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("soak")
    flags = ("--device", "cpu", "--dtype", "float32", "--metrics-port", "0", "--max-waiting", "500")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(services.ENVIRONMENT, "CASCADE_LOG_LEVEL", "INFO")
        with services.running(folder, TINY / "drafter", TINY / "expert", flags) as running:
            yield running


async def use(stub: "router_pb2_grpc.RouterServiceAsyncStub", rng: random.Random) -> None:
    """One answer; a third of them is cancelled after some events, or before any."""
    request = router_pb2.GenerateRequest(
        text=rng.choice(TEXTS),
        raw=True,
        mode=rng.choice(MODES),
        temperature=rng.choice([0.0, 1.0]),
        max_tokens=rng.randint(1, 24),
        seed=rng.getrandbits(64),
    )
    call = stub.Generate(request)
    if rng.random() < 1 / 3:
        for _ in range(rng.randint(0, 4)):
            if await call.read() is grpc.aio.EOF:
                return
        call.cancel()
        return
    async for _ in call:
        pass


async def soak(address: str, count: int, seed: int) -> None:
    rng = random.Random(seed)
    left = iter(range(count))
    async with open_channel(address) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)

        async def client() -> None:
            for _ in left:
                await use(stub, rng)

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))


def killed_client(address: str) -> None:
    """A process that asks for many answers and dies without a word."""
    code = f"""
        import time
        from tests.tls import open_blocking_channel
        from cascade.v1 import router_pb2, router_pb2_grpc
        stub = router_pb2_grpc.RouterServiceStub(open_blocking_channel({address!r}))
        request = router_pb2.GenerateRequest(text="abc", raw=True, max_tokens=400)
        calls = [stub.Generate(request) for _ in range({EACH})]
        next(calls[0])
        print("there", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    process.stdout.close()


def resident(processes: list[Process]) -> list[int]:
    return [psutil.Process(process.popen.pid).memory_info().rss for process in processes]


def idle(pods: list[Process]) -> list[float]:
    """Waits until no pod has a session; the number of tasks of each."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [metrics(pod.log) for pod in pods]
        busy = ("cascade:num_requests_running", "cascade:num_requests_waiting")
        if not any(each[name] for each in found for name in busy):
            assert all(each["cascade:kv_cache_usage_perc"] == 0 for each in found)
            return [each["cascade:tasks"] for each in found]
        time.sleep(0.1)
    raise AssertionError("sessions are left")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sessions", [1_000, pytest.param(5_000, marks=pytest.mark.faults)])
def test_memory_is_flat_and_nothing_is_left(soaked: Services, sessions: int) -> None:
    pods = [soaked.drafter, soaked.expert]
    everyone = [*pods, soaked.router]
    asyncio.run(soak(soaked.address, SETTLED, 1))
    killed_client(soaked.address)
    tasks, before = idle(pods), resident(everyone)
    rounds = 5
    for i in range(rounds):
        asyncio.run(soak(soaked.address, (sessions - SETTLED) // rounds, 2 + i))
        killed_client(soaked.address)
    assert idle(pods) == tasks
    after = resident(everyone)
    for process, then, now in zip(GROWTH, before, after, strict=True):
        print(f"{process}: {then / 2**20:.1f} MiB, {now / 2**20:.1f} MiB at the end")
        assert now < then * (1 + GROWTH[process]), process
