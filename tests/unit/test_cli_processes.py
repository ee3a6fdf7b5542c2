"""Processes are recognised by more than their number, and end when they are told to."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from router.cli.processes import find, last_words, resident_bytes, start, stop
from router.cli.state import Service

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[psutil.Popen]]:
    """Processes that end with the test."""
    processes: list[psutil.Popen] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def launch(role: str, code: str, folder: Path, running: list[psutil.Popen]) -> Service:
    """Starts Python code and waits until it has begun."""
    log = folder / f"{role}.log"
    process, service = start(role, [sys.executable, "-c", code], log)
    running.append(process)
    deadline = time.monotonic() + 30
    while "up" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    return service


def test_a_process_is_found_while_it_runs(tmp_path: Path, running: list[psutil.Popen]) -> None:
    service = launch("drafter", SLEEPER, tmp_path, running)
    found = find(service)
    assert found is not None
    assert found.pid == service.pid
    assert resident_bytes(service) > 1 << 20
    assert os.getsid(service.pid) == service.pid
    assert stop([service], 10) == {"drafter": False}
    assert find(service) is None
    assert resident_bytes(service) == 0
    assert stop([service], 10) == {}


def test_a_process_is_found_after_the_clock_was_set(
    tmp_path: Path, running: list[psutil.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = launch("drafter", SLEEPER, tmp_path, running)
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 100)
    assert find(service) is not None


def test_another_process_of_the_same_pid_is_left_alone(
    tmp_path: Path, running: list[psutil.Popen]
) -> None:
    service = launch("drafter", SLEEPER, tmp_path, running)
    earlier = replace(service, started=service.started - 60)
    assert find(earlier) is None
    assert stop([earlier], 10) == {}
    assert find(service)


def test_a_process_that_does_not_listen_is_killed(
    tmp_path: Path, running: list[psutil.Popen]
) -> None:
    deaf = launch("drafter", DEAF, tmp_path, running)
    polite = launch("expert", SLEEPER, tmp_path, running)
    assert stop([deaf, polite], 0.5) == {"drafter": True, "expert": False}
    assert find(deaf) is None


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", None),
        ('{"event": "x"}\n', None),
        ('{"event": "x"}\nno config.json there\n{"event": "y"}\n\n', "no config.json there"),
        ("loading: 10%\rloading: 20%\rcan't load\n", "can't load"),
        ("Traceback:\n  File x\nValueError: 3\n", "ValueError: 3"),
        ("12\n", "12"),
    ],
)
def test_last_words_are_for_people(tmp_path: Path, log: str, words: str | None) -> None:
    (tmp_path / "log").write_text(log, newline="")
    assert last_words(tmp_path / "log") == words


def test_no_log_no_words(tmp_path: Path) -> None:
    assert last_words(tmp_path / "log") is None


def test_settings_of_services_that_others_reach_are_not_theirs(
    tmp_path: Path, running: list[psutil.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started here speaks plainly, and to whoever asks; all other settings hold."""
    for name in ("POD_TLS_CERT", "ROUTER_TLS_KEY", "ROUTER_PEER_TLS_CA", "ROUTER_API_KEYS_FILE"):
        monkeypatch.setenv(f"CASCADE_{name}", "x")
    monkeypatch.setenv("CASCADE_POD_SLOTS", "3")
    names = "import os; print(sorted(n for n in os.environ if n.startswith('CASCADE_'))); "
    launch("expert", names + SLEEPER, tmp_path, running)
    found = (tmp_path / "expert.log").read_text()
    assert "CASCADE_POD_SLOTS" in found
    assert "TLS" not in found
    assert "KEYS" not in found
