"""A drafter, an expert and a router as processes of their own on this machine."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.stopping import stop
from services.serving.settings import SHARED_GATHER

_REPOSITORY = Path(__file__).resolve().parents[1]
_POLL_S = 0.1


@dataclass(frozen=True)
class Running:
    """Where the three services serve, host:port each."""

    router: str
    drafter: str
    expert: str


@contextmanager
def running(pair: Pair, timeout_s: float = 600.0, pod_flags: Sequence[str] = ()) -> Iterator[str]:
    """As ``running_services``; gives the router's address alone."""
    with running_services(pair, timeout_s, pod_flags) as services:
        yield services.router


@contextmanager
def running_services(
    pair: Pair, timeout_s: float = 600.0, pod_flags: Sequence[str] = ()
) -> Iterator[Running]:
    """Starts the three services on loopback and stops them in the end.

    Gives:
        their addresses, once the router serves.

    Raises:
        ServiceFailed: one of them ended, or did not serve within ``timeout_s``.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pods = [
            stack.enter_context(
                service(
                    folder,
                    role,
                    f"services.{role}",
                    [*_flags(model, pair.dtype, weights), *own, *pod_flags],
                )
            )
            for role, model, weights, own in (
                ("drafter", pair.drafter, pair.drafter_weights, _of_drafter(pair)),
                ("expert", pair.expert, pair.expert_weights, []),
            )
        ]
        drafter, expert = (pod.address(timeout_s) for pod in pods)
        router = stack.enter_context(
            # Both models share this machine: drafting ahead would take from the expert.
            service(
                folder,
                "router",
                "router",
                ["--drafter", drafter, "--expert", expert, "--draft-ahead", "0"],
            )
        )
        yield Running(router.address(timeout_s), drafter, expert)


def _flags(model: Path, dtype: str, weights: str) -> list[str]:
    return [
        *("--model", str(model.absolute()), "--device", "cpu"),
        *("--dtype", dtype, "--weights", weights, "--gather", str(SHARED_GATHER)),
    ]


def _of_drafter(pair: Pair) -> list[str]:
    return ["--draft-vocabulary", str(pair.draft_vocabulary)] if pair.draft_vocabulary else []


class Service:
    """A service's process, its log and its port file."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path, port: Path):
        self._name = name
        self._process = process
        self._log = log
        self._port = port

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def address(self, timeout_s: float) -> str:
        """Waits until it serves; gives host:port.

        Raises:
            ServiceFailed: it ended, or does not serve after ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while not self._port.exists():
            if self._process.poll() is not None:
                raise ServiceFailed(f"the {self._name} did not start: {self._last_line()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"the {self._name} does not serve after {timeout_s:g} s")
            time.sleep(_POLL_S)
        return f"127.0.0.1:{self._port.read_text()}"

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


@contextmanager
def service(folder: Path, name: str, module: str, flags: list[str]) -> Iterator[Service]:
    """Runs ``python -m module`` on a free port; its port file and its log lie in ``folder``."""
    port, log = folder / f"{name}.port", folder / f"{name}.log"
    command = [sys.executable, "-m", module, *flags]
    command += ["--host", "127.0.0.1", "--port", "0", "--port-file", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=output, stderr=output)
    try:
        yield Service(name, process, log, port)
    finally:
        stop(process)
