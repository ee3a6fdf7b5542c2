"""Where and with what a measurement was made."""

import os
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_REPOSITORY = Path(__file__).resolve().parents[1]
_PACKAGES = ("torch", "transformers", "tokenizers", "grpcio", "protobuf")

_TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Machine:
    """A machine and the software on it at one time."""

    date: str
    """UTC, to the minute."""
    command: str
    cpu: str
    cores: int
    """That this process may use."""
    memory_gib: float
    load: float
    """Mean number of running processes in the minute before."""
    others: float
    """Share of all cores' time that other processes took during the run."""
    commit: str
    """Of this repository, "-dirty" where files differ from it; "unknown" outside one."""
    versions: dict[str, str]

    def lines(self) -> list[str]:
        """For a report, one fact a line."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return [
            f"Command: `{self.command}`",
            f"Date: {self.date}, commit {self.commit}",
            f"Machine: {self.cpu}, {self.cores} cores, {self.memory_gib:.1f} GiB of memory, "
            f"load before the run {self.load:.2f}; during it other processes took "
            f"{self.others:.1%} of the cores",
            f"Versions: {versions}",
        ]

    def to_json(self) -> dict[str, object]:
        """The same for a program."""
        return asdict(self)


class Watch:
    """Looks at the machine from the beginning of a run to its end."""

    def __init__(self, module: str) -> None:
        """``module`` is what ``python -m`` was given."""
        self._module = module
        self._date = datetime.now(UTC)
        self._load = os.getloadavg()[0]
        self._commit = _commit()
        self._all, self._busy, self._own = _times()

    def machine(self) -> Machine:
        """The facts, now that all processes of the run have ended."""
        whole, busy, own = _times()
        spent, others = whole - self._all, (busy - self._busy) - (own - self._own)
        return Machine(
            date=self._date.strftime("%Y-%m-%d %H:%M UTC"),
            command=shlex.join(["python", "-m", self._module, *sys.argv[1:]]),
            cpu=_cpu(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=psutil.virtual_memory().total / 2**30,
            load=self._load,
            others=max(others, 0.0) / spent if spent else 0.0,
            commit=self._commit,
            versions={"python": platform.python_version()}
            | {name: version(name) for name in _PACKAGES},
        )


def _times() -> tuple[float, float, float]:
    """Seconds of all cores, of them not idle, and of them this process and its ended children."""
    times = psutil.cpu_times()
    # Linux counts a guest's time as its host's user time, too.
    whole = sum(times) - times.guest - times.guest_nice
    return whole, whole - times.idle - times.iowait, sum(os.times()[:4])


def _cpu() -> str:
    """Its name, which hosts may leave vague, with what tells generations apart."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    if "model name" not in facts:
        return platform.processor() or "unknown processor"
    flags = facts.get("flags", "").split()
    has = [flag for flag in _TELLING_FLAGS if flag in flags] or ["none of these"]
    return (
        f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')}; "
        f"of {', '.join(_TELLING_FLAGS)}: {', '.join(has)})"
    )


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
