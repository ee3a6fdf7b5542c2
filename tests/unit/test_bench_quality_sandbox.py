"""Tests of answers in a child process: only a check that was done to its end passes."""

import subprocess
import sys

import pytest

from bench.quality import sandbox
from bench.quality.sandbox import Limits, run

CHECK = "def check(candidate):\n    assert candidate(2) == 3\n"
SHORT = Limits(wall_s=20.0, cpu_s=1)


@pytest.fixture(params=["namespaces", "hook alone"])
def everywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what this machine has, and as where it denies namespaces."""
    if request.param == "hook alone":
        monkeypatch.setattr(sandbox, "namespaces", tuple)


def judgement(answer: str, limits: Limits = SHORT) -> sandbox.Judgement:
    return run([answer], CHECK, "f", limits)


@pytest.mark.usefixtures("everywhere")
def test_a_right_answer_passes() -> None:
    assert judgement("def f(x): return x + 1") == sandbox.Judgement(True, "")


def test_parts_share_a_namespace() -> None:
    parts = ["import math\ndef f(x): pass", "from __future__ import annotations\nf = math.exp"]
    assert run([*parts, "f = lambda x: math.floor(x) + 1"], CHECK, "f").passed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("def f(x): return x", "AssertionError"),
        ("def f(x) return x", "SyntaxError"),
        ("def g(x): return x + 1", "KeyError"),
        ("import sys\ndef f(x): sys.exit(0)", "SystemExit"),
        ("def f(x): return f(x)", "RecursionError"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
    ],
)
def test_a_wrong_answer_does_not(answer: str, reason: str) -> None:
    found = judgement(answer)
    assert not found.passed
    assert found.reason.startswith(reason)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("when", ["import os; os._exit(0)", "def f(x):\n import os; os._exit(0)"])
def test_an_end_before_the_check_does_not_pass(when: str) -> None:
    found = judgement(when)
    assert not found.passed
    assert found.reason == "ended before the check did, status 0"


@pytest.mark.usefixtures("everywhere")
def test_an_endless_loop_is_ended() -> None:
    """By its processor time, before the wall clock does it."""
    found = judgement("def f(x):\n while True: pass")
    assert not found.passed
    assert found.reason.startswith("ended before the check did")


@pytest.mark.usefixtures("everywhere")
def test_a_sleep_is_ended() -> None:
    """It takes no processor time; the wall clock ends it."""
    found = judgement("import time\ndef f(x): time.sleep(60)", Limits(wall_s=1.0))
    assert found == sandbox.Judgement(False, "not done after 1 s")


@pytest.mark.usefixtures("everywhere")
def test_memory_is_limited() -> None:
    found = judgement("def f(x): return len(bytearray(2 * 2**30)) and x + 1")
    assert found == sandbox.Judgement(False, "MemoryError")


@pytest.mark.usefixtures("everywhere")
def test_what_it_prints_does_not_count() -> None:
    found = judgement(
        "import os\ndef f(x):\n print('passed' * 10**5); os.write(2, b'x'); return x + 1"
    )
    assert found.passed
    assert not judgement("print('a marker' * 10**6)\ndef f(x): return x").passed


def test_it_writes_into_the_judgement_in_vain() -> None:
    """Whatever the descriptor, only the marker alone is a pass."""
    answer = "import os\nfor n in range(64):\n try: os.write(n, b'x')\n except OSError: pass\n"
    assert not judgement(answer + "def f(x): return x + 1").passed


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(
    "attempt",
    [
        "import os; os.fork()",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.kill(os.getppid(), 0)",
        "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9', timeout=1)",
        "open('file', 'w')",
        "import os; os.remove('/nowhere')",
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (60, 60))",
    ],
)
def test_what_is_denied(attempt: str) -> None:
    found = judgement(f"def f(x):\n {attempt}\n return x + 1")
    assert not found.passed
    assert "an answer may not" in found.reason


def test_the_namespaces_have_no_network() -> None:
    """Without the hook: the kernel itself says no."""
    if not (command := sandbox.namespaces()):
        pytest.skip("this machine denies them")
    names = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert _output([*command, sys.executable, "-I", "-c", names]) == "['lo']"
    assert _output([*command, sys.executable, "-I", "-c", "import os; print(os.getpid())"]) == "1"


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_its_environment_and_folder_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    look = "import os\ndef f(x):\n assert 'SECRET' not in os.environ and not os.listdir('.')\n"
    assert judgement(look + " return x + 1") == sandbox.Judgement(True, "")


def test_all_limits_hold_within() -> None:
    limits = Limits().rlimits
    assert limits["RLIMIT_NPROC"] == limits["RLIMIT_CORE"] == 0
    look = [
        f" assert resource.getrlimit(resource.{name}) == ({value}, {value})"
        for name, value in limits.items()
    ]
    answer = "\n".join(["import resource", "def f(x):", *look, " return x + 1"])
    assert judgement(answer, Limits()) == sandbox.Judgement(True, "")
