"""One fault at a time under a recorded load: several drafters and experts, and a router."""

import asyncio
import itertools
import random
import signal
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests import services
from tests.client import connected
from tests.faults.history import (
    SPECS,
    Load,
    Spec,
    ask,
    check,
    failovers,
    modes,
    slots_are_free,
    waits,
)
from tests.faults.pods import Pod, running_pods
from tests.integration.test_metrics import events
from tests.services import await_port, launch
from tests.until import until

AT_ONCE = 4
"""Clients."""
PODS = 2
"""Of each role."""
STOPPED_S = 10.0


@dataclass
class Cluster:
    """Pods and a router."""

    pods: list[Pod]
    router: str
    metrics: str
    undisturbed: dict[Spec, list[int]]

    async def count(self, text: str) -> int:
        """The sum of the router's metrics with that in their line."""

        def read() -> int:
            with urllib.request.urlopen(self.metrics) as page:
                lines = page.read().decode().splitlines()
            return int(sum(float(line.split()[-1]) for line in lines if text in line))

        return await asyncio.to_thread(read)

    async def settled(self, count: int) -> None:
        """Waits until so many pods are available."""

        async def are_available() -> bool:
            return await self.count('state="available"') == count

        await until(are_available)

    async def losses(self) -> int:
        """Pods that the router has lost so far."""
        return await self.count("cascade:pods_lost_total{")

    async def failovers(self) -> int:
        """Sessions that were opened anew so far."""
        return await self.count("cascade:failovers_total{")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CASCADE_LOG_LEVEL", "INFO")
        patch.setitem(services.ENVIRONMENT, "CASCADE_LOG_LEVEL", "INFO")
        with running_pods(folder, PODS) as pods:
            addresses = {
                role: ",".join(pod.relay.address for pod in pods if pod.role == role)
                for role in ("drafter", "expert")
            }
            flags = [f for role, where in addresses.items() for f in (f"--{role}", where)]
            popen = launch("router", "router", folder, *flags, "--metrics-port", "0")
            try:
                router = await_port(popen, "router", folder)
                (told,) = events(router.log, "metrics")
                metrics = f"http://{told['address']}/metrics"
                yield Cluster(pods, router.address, metrics, asyncio.run(_answers(router.address)))
                assert router.stop() == 0
            finally:
                popen.kill()
                popen.wait(30)


async def _answers(address: str) -> dict[Spec, list[int]]:
    async with connected(address) as client:
        answers = await asyncio.gather(*(ask(client, spec) for spec in SPECS))
    assert not [answer.error for answer in answers if answer.error]
    return {answer.spec: answer.ids for answer in answers}


@dataclass
class Disturbed:
    """What a load went through."""

    opened: int
    """Sessions that were opened anew."""
    waits: list[float]
    """Seconds from a fault to the next token, where it cost a session."""

    def __str__(self) -> str:
        if not self.waits:
            return f"{self.opened} sessions were opened anew"
        ms = sorted(round(1000 * wait) for wait in self.waits)
        return (
            f"{self.opened} sessions were opened anew; to the next token "
            f"{median(ms):.0f} ms at the median, {ms[-1]} at most"
        )


Fault = Callable[[Cluster, Pod, random.Random], Awaitable[None]]


async def killed(cluster: Cluster, pod: Pod, rng: random.Random) -> None:
    """kill -9, then another in its place."""
    await asyncio.to_thread(pod.kill)
    await cluster.settled(2 * PODS - 1)
    pod.start()


async def stopped(cluster: Cluster, pod: Pod, rng: random.Random) -> None:
    """SIGSTOP for a while: it holds its connections and says nothing."""
    pod.send(signal.SIGSTOP)
    try:
        await asyncio.gather(cluster.settled(2 * PODS - 1), asyncio.sleep(STOPPED_S))
    finally:
        pod.send(signal.SIGCONT)


async def reset(cluster: Cluster, pod: Pod, rng: random.Random) -> None:
    """All connections of a pod are cut off."""
    before = await cluster.losses()
    await asyncio.to_thread(pod.relay.reset)

    async def is_known() -> bool:
        return await cluster.losses() > before

    await until(is_known)  # it comes back so soon that "available" may never change


async def swallowed(cluster: Cluster, pod: Pod, rng: random.Random) -> None:
    """A black hole: bytes are lost, and nobody is told."""
    pod.relay.link.swallows = True
    await cluster.settled(2 * PODS - 1)
    pod.relay.link.swallows = False
    await asyncio.to_thread(pod.relay.reset)  # what was lost can't be mended


async def half_open(cluster: Cluster, pod: Pod, rng: random.Random) -> None:
    """The pod hears, and is not heard."""
    pod.relay.link.mute = True
    await cluster.settled(2 * PODS - 1)
    pod.relay.link.mute = False
    await asyncio.to_thread(pod.relay.reset)


async def rolled(cluster: Cluster, pod: Pod, rng: random.Random) -> None:
    """A rolling restart of the role: SIGTERM, a grace, then the next one."""
    for one in [p for p in cluster.pods if p.role == pod.role]:
        assert await asyncio.to_thread(one.stop) == 0, "a pod that drains ends well"
        one.start()
        await cluster.settled(2 * PODS)


async def disturb(cluster: Cluster, fault: Fault, times: int, least: int, seed: int) -> Disturbed:
    """A load, a fault again and again, and the checks.

    A fault may find its pod without a session: it comes again until ``least`` were opened anew.
    """
    rng, since, moments = random.Random(seed), await cluster.failovers(), []
    await cluster.settled(2 * PODS)
    async with connected(cluster.router) as client:
        load = Load(client, AT_ONCE)
        try:
            for done in itertools.count():
                if done >= times and await cluster.failovers() - since >= least:
                    break
                await asyncio.sleep(rng.uniform(0, 0.3))
                assert load.running, "a fault that nobody can notice does not count"
                moments.append(time.monotonic())
                await fault(cluster, rng.choice(cluster.pods), rng)
                await cluster.settled(2 * PODS)
            await until(lambda: len(load.history) >= 2 * len(SPECS))
        finally:
            history = await load.stop()
    check(history, cluster.undisturbed)
    assert len(modes(history)) == 6, "all modes, or it does not count"
    for pod in cluster.pods:
        await slots_are_free(pod.relay.address)
    return Disturbed(failovers(history), waits(history, moments))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.faults)])
async def test_answers_survive_kills(cluster: Cluster, kills: int) -> None:
    seen = await disturb(cluster, killed, kills, least=kills // 4, seed=1)
    assert seen.opened >= kills / 4, "with less traffic the run does not count"
    print(f"{kills} kills: {seen}")


FAULTS = {
    "reset": (reset, 5),
    "stopped": (stopped, 1),
    "swallowed": (swallowed, 1),
    "half_open": (half_open, 1),
    "rolled": (rolled, 1),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.faults)])
@pytest.mark.parametrize("name", FAULTS)
async def test_answers_survive_other_faults(cluster: Cluster, name: str, rounds: int) -> None:
    fault, times = FAULTS[name]
    least = 0 if fault is rolled else rounds  # there all sessions may finish within the grace
    seen = await disturb(cluster, fault, times * rounds, least, seed=2)
    assert seen.opened >= least, "with less traffic the run does not count"
    print(f"{name}: {seen}")
