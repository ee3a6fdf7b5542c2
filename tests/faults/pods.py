"""Real pods that start fast: forked from a process that has their imports, and served as ever.

Each is a process of its own behind a relay, which stays where it is when the pod is started again.
"""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from bench.relay import Relay
from tests.services import TINY

_FORKS = multiprocessing.get_context("forkserver")
_GRACE_S = "0.5"


@dataclass
class Pod:
    """A drafter or an expert."""

    role: str
    name: str
    folder: Path
    port: int
    relay: Relay
    slots: int = 8
    model: str = ""
    """Another than the role's, if any."""
    process: ForkServerProcess = field(init=False)

    def start(self) -> None:
        """Runs it."""
        flags = [
            "--model",
            str(TINY / (self.model or self.role)),
            "--device",
            "cpu",
            "--dtype",
            "float32",
        ]
        flags += ["--host", "127.0.0.1", "--port", str(self.port), "--slots", str(self.slots)]
        flags += ["--grace-s", _GRACE_S]
        log = self.folder / f"{self.name}.log"
        self.process = _FORKS.Process(target=_serve, args=(self.role, flags, str(log)))
        self.process.start()

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self.process.pid is not None, "it was started"
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """kill -9: nobody is told."""
        self.process.kill()
        self.process.join(30)

    def stop(self) -> int | None:
        """SIGTERM; its exit status."""
        self.process.terminate()
        self.process.join(30)
        return self.process.exitcode


def _serve(role: str, flags: list[str], log: str) -> None:
    """The child: what ``python -m services.ROLE`` does."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = [f"services.{role}", *flags]
    runpy.run_module(f"services.{role}", run_name="__main__", alter_sys=True)


@contextmanager
def running_pods(folder: Path, count: int, slots: int = 8) -> Iterator[list[Pod]]:
    """``count`` drafters and as many experts, each behind a relay of its own."""
    _FORKS.set_forkserver_preload(
        ["services.pod.main", "services.drafter.servicer", "services.expert.servicer"]
    )
    with ExitStack() as stack:
        pods = []
        for role in ("drafter", "expert"):
            for i in range(count):
                port = _free_port()
                relay = stack.enter_context(Relay(f"127.0.0.1:{port}"))
                pod = Pod(role, f"{role}-{i}", folder, port, relay, slots)
                pod.start()
                stack.callback(pod.kill)
                pods.append(pod)
        yield pods


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
