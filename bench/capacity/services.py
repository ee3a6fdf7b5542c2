"""Simulated models without step times, and a router that has a core to itself."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.services import service

_START_S = 60.0


@dataclass(frozen=True)
class Placed:
    """Running services, and where they run."""

    address: str
    """The router's, host:port."""
    router: psutil.Process
    pods: Sequence[psutil.Process]
    own_core: bool
    """Whether the router has one; this machine may have no second."""


@contextmanager
def placed(agreement: float) -> Iterator[Placed]:
    """Starts a simulated drafter and expert, and a router on the first core.

    The pods and this process keep to the others: what the router is given then is one core, whole.

    Raises:
        ServiceFailed: one of them did not start.
    """
    cores = sorted(os.sched_getaffinity(0))
    own, others = cores[0], cores[1:]
    with ExitStack() as stack:
        if others:
            _pin(os.getpid(), others)  # children inherit it
            stack.callback(_pin, os.getpid(), cores)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        flags = ["--simulate.agreement", str(agreement), "--threads", "1"]
        pods = {
            role: stack.enter_context(service(folder, role, f"services.{role}", flags))
            for role in ("drafter", "expert")
        }
        peers = [f"--{role}={pod.address(_START_S)}" for role, pod in pods.items()]
        router = stack.enter_context(service(folder, "router", "router", peers))
        address = router.address(_START_S)
        if others:
            _pin(router.pid, [own])
        yield Placed(
            address,
            psutil.Process(router.pid),
            [psutil.Process(pod.pid) for pod in pods.values()],
            bool(others),
        )


def _pin(pid: int, cores: Sequence[int]) -> None:
    """All threads of a process: the mask of its first thread is not that of the others."""
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, cores)
