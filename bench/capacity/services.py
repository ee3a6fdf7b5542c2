"""Pods of simulated models without step times, and a router that has a core to itself."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
def placed(agreement: float | None) -> Iterator[Placed]:
    """Starts a drafter, an expert, and a router on the first core.

    The pods and this process keep to the others: what the router is given then is one core, whole.

    Args:
        agreement: of the two simulated models; None: in place of pods, peers that decide nothing.

    Raises:
        ServiceFailed: one of them did not start.
    """
    cores = sorted(os.sched_getaffinity(0))
    own, others = cores[0], cores[1:]
    with ExitStack() as stack:
        if others:
            pin(os.getpid(), others)  # children inherit it
            stack.callback(pin, os.getpid(), cores)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pods = {
            role: stack.enter_context(service(folder, role, *_pod(role, agreement)))
            for role in ("drafter", "expert")
        }
        peers = [f"--{role}={pod.address(_START_S)}" for role, pod in pods.items()]
        router = stack.enter_context(service(folder, "router", "router", peers))
        address = router.address(_START_S)
        if others:
            pin(router.pid, [own])
        yield Placed(
            address,
            psutil.Process(router.pid),
            [psutil.Process(pod.pid) for pod in pods.values()],
            bool(others),
        )


def _pod(role: str, agreement: float | None) -> tuple[str, list[str]]:
    """The module that runs, and its flags."""
    if agreement is None:
        return "bench.capacity.peer", ["--role", role]
    return f"services.{role}", ["--simulate.agreement", str(agreement), "--threads", "1"]


def pin(pid: int, cores: Sequence[int]) -> None:
    """All threads of a process: the mask of its first thread is not that of the others."""
    for thread in psutil.Process(pid).threads():
        with suppress(ProcessLookupError):  # it may have ended
            os.sched_setaffinity(thread.id, cores)
