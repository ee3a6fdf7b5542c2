"""Real services for tests: real processes, real sockets."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tls import server_flags

TINY = Path(__file__).parent / "tiny"
START_TIMEOUT_S = 120.0

# One thread each: the tiny models gain nothing from more, and three processes share few cores.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CASCADE_LOG_LEVEL": "WARNING"}


@dataclass
class Process:
    """A service's process and where it serves."""

    popen: "subprocess.Popen[bytes]"
    address: str
    log: Path

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(30)


@dataclass
class Services:
    """A router with its drafter and expert."""

    router: Process
    drafter: Process
    expert: Process

    @property
    def address(self) -> str:
        """The router's host:port."""
        return self.router.address


def command(module: str, *flags: str) -> list[str]:
    """The command that serves a module on a free port of the loopback."""
    return [sys.executable, "-m", module, "--host", "127.0.0.1", *server_flags(module), *flags]


def launch(module: str, name: str, folder: Path, *flags: str) -> "subprocess.Popen[bytes]":
    """Starts a service; it writes its port to ``folder/name.port``, its log to ``name.log``."""
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command(module, "--port-file", str(folder / f"{name}.port"), *flags),
            stdout=log,
            stderr=log,
            env=ENVIRONMENT,
        )


def await_port(popen: "subprocess.Popen[bytes]", name: str, folder: Path) -> Process:
    """Waits until a launched service serves.

    Raises:
        RuntimeError: it died, or took too long; with its log.
    """
    port, log = folder / f"{name}.port", folder / f"{name}.log"
    deadline = time.monotonic() + START_TIMEOUT_S
    while not port.exists():
        if popen.poll() is not None or time.monotonic() > deadline:
            popen.kill()
            raise RuntimeError(f"{name} does not serve:\n{log.read_text()}")
        time.sleep(0.05)
    return Process(popen, f"127.0.0.1:{port.read_text()}", log)


@contextmanager
def starting(folder: Path) -> Iterator[Callable[..., Process]]:
    """Starts services one by one, and kills those that still run at the end.

    What it gives takes a name, of which the part before a dash is the service, and flags.
    """
    with ExitStack() as stack:

        def start(name: str, *flags: str) -> Process:
            service = name.partition("-")[0]
            module = service if service == "router" else f"services.{service}"
            popen = launch(module, name, folder, *flags)
            stack.callback(popen.wait, 30)
            stack.callback(popen.kill)
            return await_port(popen, name, folder)

        yield start


@contextmanager
def running(
    folder: Path,
    drafter: Path = TINY / "drafter",
    expert: Path = TINY / "expert",
    pod_flags: tuple[str, ...] = ("--device", "cpu", "--dtype", "float32"),
    router_flags: tuple[str, ...] = (),
    drafter_flags: tuple[str, ...] = (),
) -> Iterator[Services]:
    """The three services as processes, until the block is left."""
    popens: list[subprocess.Popen[bytes]] = []
    try:
        for name, model, own in (("drafter", drafter, drafter_flags), ("expert", expert, ())):
            popens.append(
                launch(f"services.{name}", name, folder, "--model", str(model), *pod_flags, *own)
            )
        peers = [
            await_port(popen, name, folder)
            for popen, name in zip(popens, ("drafter", "expert"), strict=True)
        ]
        popens.append(
            launch(
                "router",
                "router",
                folder,
                "--drafter",
                peers[0].address,
                "--expert",
                peers[1].address,
                *router_flags,
            )
        )
        yield Services(await_port(popens[2], "router", folder), *peers)
    finally:
        for popen in popens:
            popen.terminate()
        for popen in popens:
            popen.wait(30)
