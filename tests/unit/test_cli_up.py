"""``up``, ``status``, ``logs`` and ``down`` around services that need no models."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from router.cli.logs import Tail
from router.cli.processes import find
from router.cli.state import State, StateStore
from tests.unit.cli_command import Outcome, command, process, start_process

FAKES = (
    "import router.cli.start as start\n"
    "start.MODULES = dict.fromkeys(start.MODULES, 'tests.unit.cli_fakes')\n"
)


class Cascade:
    """The command line with a state directory and models of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.store = StateStore(folder / "run")
        self.environment = {**os.environ, "CASCADE_STATE_DIR": str(self.store.directory)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __call__(self, *arguments: str) -> Outcome:
        """Runs a command that starts nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CASCADE_STATE_DIR", str(self.store.directory))
            return command(self._capsys, *arguments)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts a command in a process of its own."""
        return start_process(*arguments, code=FAKES, environment=self.environment)

    def model(self, name: str) -> str:
        """A folder of this name that passes for a model."""
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            (folder / "config.json").write_text("{}")
            save_file({"a": torch.zeros(3)}, folder / "model.safetensors")
        return str(folder)

    def pair(self, drafter: str = "small", expert: str = "large") -> list[str]:
        """Flags of ``up``."""
        folders = ["--drafter", self.model(drafter), "--expert", self.model(expert)]
        return ["up", *folders, "--port", str(self.port)]

    def up(self, drafter: str = "small", expert: str = "large") -> Outcome:
        """Starts the services, the router at a port of its own."""
        with self.start(*self.pair(drafter, expert)) as running:
            out, err = running.communicate(timeout=200)
            return Outcome(running.returncode, out, err)

    @property
    def state(self) -> State:
        """What runs."""
        state = self.store.read()
        assert state is not None
        return state


@pytest.fixture
def cascade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cascade]:
    found = Cascade(tmp_path, capsys)
    yield found
    found("down", "--grace", "1")
    assert not leftovers(tmp_path)


def leftovers(folder: Path) -> list[list[str]]:
    """The processes that were started with a path in this folder."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in found if any(str(folder) in word for word in line)]


def test_up_status_logs_down(cascade: Cascade) -> None:
    address = f"127.0.0.1:{cascade.port}"
    title = f"{cascade.model('small')} and {cascade.model('large')} at {address}"
    started = cascade.up()
    assert started.status == 0
    assert started.out.startswith(f"running: {title}, ready in ")
    assert f"router: serves at {address}\n" in started.err

    again = cascade.up()
    assert (again.status, again.out) == (0, f"already running: {title}\n")
    other = cascade(*cascade.pair("small", "larger"))
    assert (other.status, other.err) == (
        2,
        f"cascade: already running, with another pair: {title}; `cascade down` stops it\n",
    )
    assert "another dtype" in cascade(*cascade.pair(), "--dtype", "bfloat16").err
    short = cascade(*cascade.pair(), "--draft-vocabulary", "32768")
    assert "another draft vocabulary" in short.err

    table = cascade("status")
    assert table.status == 0
    assert [line.split()[0] for line in table.out.splitlines() if "serving" in line] == [
        "drafter",
        "expert",
        "router",
    ]
    values = json.loads(cascade("status", "--json").out)
    expert = values["services"][1]
    assert values["serving"]
    assert (expert["role"], expert["model"], expert["dtype"]) == ("expert", "large", "auto cpu")
    assert (expert["slots_free"], expert["slots_total"]) == (15, 16)
    assert expert["pid"] == cascade.state.services[1].pid
    assert expert["memory_bytes"] > 1 << 20

    assert cascade("generate", "hi", "--max-tokens", "1").out == "Buzz\n"
    assert cascade("logs", "expert").out == '{"event": "starting"}\n'
    assert "router  | {" in cascade("logs").out
    assert cascade("logs", "-n", "0").out == ""

    services = cascade.state.services
    down = cascade("down")
    assert (down.status, down.out.count(": stopped\n")) == (0, 3)
    assert not any(map(find, services))
    assert cascade("down").out == "nothing runs\n"
    assert cascade("status").status == 1


def test_a_service_that_dies_is_told_of_and_the_others_are_stopped(cascade: Cascade) -> None:
    found = cascade.up(expert="broken")
    assert found.status == 2
    assert found.err.splitlines()[-1] == (
        "cascade: the expert did not start: broken: layers of type sliding can't be rolled back "
        f"(log: {cascade.store.log('expert')})"
    )
    assert cascade.store.read() is None
    assert not leftovers(cascade.folder)


def test_a_killed_service_is_told_of(cascade: Cascade) -> None:
    with cascade.start(*cascade.pair("endless")) as running:
        wait_for(lambda: cascade.store.port_file("expert").exists())
        os.kill(next(s.pid for s in cascade.state.services if s.role == "drafter"), signal.SIGKILL)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 2
    assert "the drafter did not start: killed by SIGKILL: out of memory?" in err
    assert not leftovers(cascade.folder)


def test_up_waits_until_the_services_are_healthy(cascade: Cascade) -> None:
    assert cascade.up(drafter="late").status == 0
    assert cascade("status").status == 0


def test_a_model_that_dies_while_the_router_starts_is_told_of(cascade: Cascade) -> None:
    cascade.environment["FAKE_ROUTER_DELAY_S"] = "20"
    with cascade.start(*cascade.pair()) as running:
        wait_for(lambda: (state := cascade.store.read()) and state.service("router"))
        os.kill(cascade.state.services[0].pid, signal.SIGKILL)
        _, err = running.communicate(timeout=15)
    assert (running.returncode, "the drafter did not start: killed" in err) == (2, True)
    assert not leftovers(cascade.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_start_that_is_interrupted_leaves_nothing(
    cascade: Cascade, number: signal.Signals
) -> None:
    with cascade.start(*cascade.pair(expert="endless")) as running:
        wait_for(lambda: cascade.store.port_file("drafter").exists())
        busy = cascade("down")
        assert (busy.status, "another `cascade up`" in busy.err) == (2, True)
        assert "starting" in cascade("status").out
        running.send_signal(number)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.endswith("interrupted; what was started is stopped\n")
    assert cascade.store.read() is None
    assert not leftovers(cascade.folder)


def test_what_a_killed_up_left_is_cleared_away(cascade: Cascade) -> None:
    with cascade.start(*cascade.pair(expert="endless")) as running:
        wait_for(lambda: (state := cascade.store.read()) and state.services[0].address)
        running.kill()
        running.communicate()
    first = cascade.state.services
    assert all(map(find, first))
    found = cascade.up()
    assert found.status == 0
    assert found.out.startswith("no expert and no router any more: all are started anew\n")
    assert not any(map(find, first))


def test_a_service_that_ended_later_shows_and_is_replaced(cascade: Cascade) -> None:
    assert cascade.up().status == 0
    expert = cascade.state.services[1]
    assert expert.role == "expert"
    os.kill(expert.pid, signal.SIGKILL)
    wait_for(lambda: find(expert) is None)
    values = json.loads(cascade("status", "--json").out)
    assert [service["health"] for service in values["services"]] == ["serving", "ended", "serving"]
    assert not values["serving"]
    assert cascade("status").status == 1
    assert cascade.up().out.startswith("no expert any more")
    assert cascade("status").status == 0


def test_a_stubborn_service_is_killed(cascade: Cascade) -> None:
    assert cascade.up(drafter="stubborn").status == 0
    drafter = cascade.state.services[0]
    found = cascade("down", "--grace", "0.5")
    assert f"drafter (pid {drafter.pid}): killed after 0.5 s\n" in found.out
    assert found.out.count(": stopped\n") == 2


@pytest.mark.parametrize("flags", [["--pair", "nobody"], ["--drafter", "x"]])
def test_what_cannot_start_is_one_line(cascade: Cascade, flags: list[str]) -> None:
    found = cascade("up", *flags)
    assert (found.status, found.out, len(found.err.splitlines())) == (2, "", 1)


def test_a_taken_port_is_refused_before_anything_starts(cascade: Cascade) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", cascade.port))
        taken.listen()
        found = cascade.up()
    assert found.status == 2
    assert f"can't listen on 127.0.0.1:{cascade.port}: Address already in use" in found.err
    assert f"pid {os.getpid()}" in found.err
    assert len(found.err.splitlines()) == 1
    assert not cascade.store.log("drafter").exists()


def test_logs_are_followed_until_ctrl_c(cascade: Cascade) -> None:
    cascade.store.directory.mkdir()
    log = cascade.store.log("expert")
    log.write_text("one\ntwo\n")
    with cascade.start("logs", "-f", "-n", "1") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "expert  | two\n"
        with log.open("a") as file:
            file.write("three\n")
        assert running.stdout.readline() == "expert  | three\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130


def test_a_tail_shows_whole_lines_and_notices_a_new_file(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    assert tail.new() == []
    tail.path.write_bytes(b"a\n\xc3")
    assert tail.last(5) == ["a"]
    with tail.path.open("ab") as file:
        file.write(b"\xa9\n10%\r20%\r\n")
    assert tail.new() == ["é", "20%"]
    tail.path.write_bytes(b"b\n")
    assert tail.new() == ["b"]


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Waits until a function says yes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_models_become_the_services_command() -> None:
    code = "import os; os.execv = lambda path, words: print(words[1:])"
    fetch = process("models", "fetch", "tiny", "--keep", "--dir", "/m", code=code)
    assert (
        fetch.out
        == "['-P', '-m', 'services.models', 'fetch', '--dir=/m', '--keep', '--', 'tiny']\n"
    )
    unknown = process("models", "fetch", "nobody")
    assert unknown.status == 2
    assert "no pair 'nobody'" in unknown.err
