"""The command line as tests run it."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from router.cli.app import main

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Runs a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cascade", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    status = ended.value.code
    return Outcome(status if isinstance(status, int) else 0, *capsys.readouterr())


def start_process(
    *arguments: str, code: str = "", environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Starts a command in a process of its own, after some code of the test's."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}\nfrom router.cli.app import main; main()", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def process(*arguments: str, code: str = "", environment: dict[str, str] | None = None) -> Outcome:
    """Runs a command in a process of its own to its end."""
    with start_process(*arguments, code=code, environment=environment) as running:
        out, err = running.communicate(timeout=200)
        return Outcome(running.returncode, out, err)
