"""Runs the tests of a problem on an answer, in a process that can do little else.

Each run is a fresh ``python -I`` with an empty environment in an empty folder, whose program comes
through standard input.  It limits itself (processor time, memory, files, processes), and is killed
with all of its group when its time is up.  Where the system allows it, it stands in namespaces of
its own, without a network and without sight of other processes; everywhere an audit hook denies
it sockets, processes and writing.  That holds what a model writes by mistake, not an attacker.

Success is a random marker that the child writes after the check has returned.  An answer that ends
the process before, by whatever means, has not passed.
"""

import contextlib
import functools
import inspect
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.quality import child

_UNSHARE = ("--map-root-user", "--net", "--pid", "--fork", "--kill-child=KILL", "--")
_PROBE_S = 10.0


@dataclass(frozen=True)
class Limits:
    """What a run may use."""

    wall_s: float = 20.0
    cpu_s: int = 10
    memory_bytes: int = 2**30
    """Of address space."""
    file_bytes: int = 2**20
    """Of a file."""
    processes: int = 0
    """Beside it.  The system does not hold the superuser to it."""

    @property
    def rlimits(self) -> dict[str, int]:
        """By the names of the module ``resource``."""
        return {
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_CORE": 0,
            "RLIMIT_NPROC": self.processes,
        }


@dataclass(frozen=True)
class Judgement:
    """What came of a run."""

    passed: bool
    reason: str
    """Why it did not pass, in one line; empty where it did."""


@functools.cache
def namespaces() -> Sequence[str]:
    """The command before the child's own that gives it namespaces; empty where that is denied."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, *_UNSHARE)
    try:
        done = subprocess.run(
            [*command, sys.executable, "-I", "-c", ""],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if done.returncode == 0 else ()


def isolation() -> str:
    """How the child is kept from the network, in words."""
    hook = "an audit hook that denies sockets, processes and writing"
    return f"namespaces of its own (`unshare`) and {hook}" if namespaces() else hook


def run(
    parts: Sequence[str], test: str, entry_point: str, limits: Limits | None = None
) -> Judgement:
    """Runs the parts and the test, then ``check(entry_point)``.

    Args:
        parts: sources, run one after the other in one namespace.
        test: source that defines ``check``.
        entry_point: the name of the function that is checked.
        limits: what it may use.
    """
    limits = limits or Limits()
    marker = secrets.token_hex(16)
    arguments = (list(parts), test, entry_point, marker, limits.rlimits)
    program = f"{inspect.getsource(child)}\n\nrun(*{arguments!a})\n"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [*namespaces(), sys.executable, "-I", "-B", "-"],
            stdin=subprocess.PIPE,
            stdout=told,
            stderr=subprocess.DEVNULL,
            cwd=Path(folder),
            env={},
            start_new_session=True,
        )
        in_time = True
        try:
            process.communicate(program.encode(), limits.wall_s)
        except subprocess.TimeoutExpired:
            in_time = False
        finally:
            _kill_group(process)
        told.seek(0)
        text = told.read().decode(errors="replace")
    if not in_time:
        return Judgement(False, f"not done after {limits.wall_s:g} s")
    if text == marker:
        return Judgement(True, "")
    # An exception's text may have lines; the report has one for it.
    reason = " ".join(text.split()) or f"ended before the check did, status {process.returncode}"
    return Judgement(False, reason)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends all of its group, also what it left behind.  Its id is its group's."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
