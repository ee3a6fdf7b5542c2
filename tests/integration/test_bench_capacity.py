"""The capacity bench on real processes: who runs on which core, and rounds that are counted."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple

import psutil
import pytest

from bench.bare import Sizes, bare
from bench.capacity.measure import added, load, sizes
from bench.capacity.services import Placed, pin, placed
from bench.relay import Link

CORES = os.sched_getaffinity(0)


@pytest.fixture(scope="module")
def services() -> Iterator[Placed]:
    with placed(agreement=0.8) as found:
        yield found
    assert os.sched_getaffinity(0) == CORES


def test_the_router_has_a_core_that_nobody_else_has(services: Placed) -> None:
    if len(CORES) == 1:
        assert not services.own_core
        return
    own = _cores(services.router)
    assert services.own_core
    assert len(own) == 1
    for process in (*services.pods, psutil.Process()):
        assert not own & _cores(process)


def test_rounds_counted_and_rounds_timed_agree(services: Placed) -> None:
    """One session: as many rounds a second as the time of one makes, but for the openings."""
    found = asyncio.run(load(services, sessions=1, seconds=3.0))
    alone = asyncio.run(added(services, answers=3))
    assert 0.4 < found.rounds_per_s * alone.round_ms / 1000 < 2.5
    assert 0 < alone.pods_ms < alone.round_ms
    busy = found.router_cpu_ms * found.rounds_per_s / 1000
    assert 0 < found.router_busy == pytest.approx(busy)


def test_bare_streams_with_the_same_messages_carry_more_rounds(services: Placed) -> None:
    messages = asyncio.run(sizes(services))
    assert min(messages.drafter_up, messages.expert_down) > 0
    assert messages.drafter_down > messages.drafter_up  # candidates come with the tokens
    limit = bare(messages, sessions=1, seconds=2.0, cores=sorted(CORES))
    found = asyncio.run(load(services, sessions=1, seconds=2.0))
    assert limit.rounds_per_s > found.rounds_per_s


def test_peers_that_decide_nothing_send_as_much_and_take_little(services: Placed) -> None:
    pods = asyncio.run(sizes(services))
    found = asyncio.run(load(services, sessions=8, seconds=1.0))
    with _on_all_cores(), placed(None) as peers:
        assert peers.own_core == services.own_core
        messages = asyncio.run(sizes(peers))
        alone = asyncio.run(load(peers, sessions=8, seconds=1.0))
    for mine, theirs in zip(astuple(messages), astuple(pods), strict=True):
        assert mine == pytest.approx(theirs, rel=0.3)  # what is accepted differs
    assert messages.drafter_down == pytest.approx(pods.drafter_down, rel=0.05)
    assert alone.pods_cpu_ms < found.pods_cpu_ms / 2


def test_bare_streams_over_a_link_take_its_time_and_the_passes() -> None:
    """Rounds longer than the time that is measured are counted all the same."""
    sizes = Sizes(drafter_up=60, drafter_down=1000, expert_up=1000, expert_down=60)
    link = Link(latency_s=0.01)
    found = bare(sizes, sessions=1, seconds=0.01, passes_s=(0.016, 0.03), link=link)
    assert 1 / found.rounds_per_s >= 0.016 + 0.03 + 4 * 0.01


@contextmanager
def _on_all_cores() -> Iterator[None]:
    """This process, as it was before the services were placed."""
    others = sorted(os.sched_getaffinity(0))
    pin(os.getpid(), sorted(CORES))
    yield
    pin(os.getpid(), others)


def _cores(process: psutil.Process) -> set[int]:
    """Of all its threads; one may end meanwhile."""
    cores: set[int] = set()
    for thread in process.threads():
        with suppress(ProcessLookupError):
            cores |= os.sched_getaffinity(thread.id)
    return cores
