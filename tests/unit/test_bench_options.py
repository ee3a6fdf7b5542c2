"""How a benchmark's command ends."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from bench import options
from bench.errors import BadOption


@pytest.fixture(autouse=True)
def command_line(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No arguments, and the signal's handler as it was afterwards."""
    monkeypatch.setattr("sys.argv", ["bench"])
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def status(command: Callable[[], None]) -> object:
    with pytest.raises(SystemExit) as caught:
        options.run(command)
    return caught.value.code


def test_a_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise BadOption("--dtype must be another")

    assert status(command) == 2
    assert capsys.readouterr().err == "error: --dtype must be another\n"


def test_sigterm_cleans_up() -> None:
    """Services are stopped by the ``finally`` of a context."""
    cleaned = []

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    assert status(command) == 128 + signal.SIGTERM
    assert cleaned
