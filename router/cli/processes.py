"""Services as detached local processes: started, recognised, stopped."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from router.cli.state import REPOSITORY, Service

_POLL_S = 0.05
_OTHERS = re.compile("CASCADE_(POD|ROUTER)_((PEER_)?TLS_|API_KEYS_FILE)")
"""Settings of services that others reach: those that are started here speak plainly to each other,
and to commands."""


def start(role: str, command: list[str], log: Path) -> tuple[psutil.Popen, Service]:
    """Starts a process in a session of its own, so that neither Ctrl-C nor a closed terminal
    reaches it; its output replaces the log file.
    """
    with log.open("wb") as output:
        process = psutil.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if not _OTHERS.match(name)},
            start_new_session=True,
        )
    service = Service(
        role=role,
        pid=process.pid,
        started=_started(process),
        command=tuple(command),
        log=str(log),
    )
    return process, service


def find(service: Service) -> psutil.Process | None:
    """The service's process.  None: it has ended, whoever has its pid now."""
    try:
        process = psutil.Process(service.pid)
        same = _started(process) == service.started
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _started(process: psutil.Process) -> float:
    """When it was started: in clock ticks since the boot, which setting the clock does not change.

    Where there is no /proc, in seconds.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    try:
        told = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return float(process.create_time())
    return float(told.rpartition(")")[2].split()[19])  # proc_pid_stat(5): field 22, behind the name


def resident_bytes(service: Service) -> int:
    """Its resident memory; 0 if it has ended."""
    process = find(service)
    try:
        return int(process.memory_info().rss) if process else 0
    except psutil.NoSuchProcess:
        return 0


def stop(services: Iterable[Service], grace_s: float) -> dict[str, bool]:
    """Lets services finish what they do (SIGTERM); kills what is left after the grace (SIGKILL).

    Returns:
        For each that ran, by role: whether it had to be killed.
    """
    running = [service for service in services if find(service)]
    for service in running:
        _signal(service, signal.SIGTERM)
    left = _wait(running, grace_s)
    for service in left:
        _signal(service, signal.SIGKILL)
    _wait(left, grace_s)
    return {service.role: service in left for service in running}


def last_words(log: Path) -> str | None:
    """The last line of a log that is for people: neither empty nor a structured event."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip() and _plain(line)), None)


def _plain(line: str) -> bool:
    try:
        return not isinstance(json.loads(line), dict)
    except ValueError:
        return True


def _signal(service: Service, number: signal.Signals) -> None:
    process = find(service)
    if process is None:
        return
    try:
        if number == signal.SIGKILL:  # with whatever it has started itself
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    except (ProcessLookupError, psutil.NoSuchProcess):
        pass


def _wait(services: list[Service], seconds: float) -> list[Service]:
    """Waits until all have ended; gives those that have not."""
    deadline = time.monotonic() + seconds
    left = services
    while (left := [service for service in left if find(service)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return left
