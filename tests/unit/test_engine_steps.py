"""The engine's turn-taking: order, superseding, draining, closing, failing."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any

import pytest
import torch

from services.engine.batch import Packed
from services.engine.engine import Engine
from services.engine.model import load
from services.engine.session import Queued, Session
from services.engine.simulated import SimulatedModel, Simulation
from services.engine.step import Feed
from services.errors import CascadeError, EngineFailed, PeerLost
from tests.services import TINY
from tests.unit.greedy_step import GreedyStep


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    torch.set_num_threads(1)
    engine = Engine(lambda: load(TINY / "drafter", device="cpu", dtype="float32"))
    yield engine
    engine.stop()
    assert not engine.alive


class Count(GreedyStep):
    """Runs a given number of passes and notes each in a log."""

    def __init__(self, name: str, passes: int, log: list[str], gate: threading.Event | None = None):
        super().__init__()
        self.name, self.left, self.log, self.gate = name, passes, log, gate
        self.error: Future[CascadeError] = Future()

    def begin(self, session: Session) -> bool:
        session.rebase(0, list(b"abc"))
        return True

    def feed(self, session: Session) -> Feed:
        if self.gate:
            assert self.gate.wait(20)
        return super().feed(session)

    def take(self, session: Session, decided: list[float]) -> bool:
        assert len(decided) == 1
        self.log.append(self.name)
        self.left -= 1
        return self.left == 0

    def fail(self, error: CascadeError) -> None:
        self.error.set_result(error)


class Supersedable(Count):
    supersedable = True


class Broken(Count):
    def take(self, session: Session, decided: list[float]) -> bool:
        raise ZeroDivisionError


def test_sessions_take_turns(engine: Engine) -> None:
    """No session waits for more than one pass of each other one."""
    log: list[str] = []
    gate = threading.Event()
    sessions = [engine.open() for _ in range(3)]
    for name, session in zip("abc", sessions, strict=True):
        engine.submit(session, Count(name, 4, log, gate))
    gate.set()
    for session in sessions:
        engine.drain(session).result(20)
        engine.close(session).result(20)
    assert log == list("abc" * 4)


def test_steps_of_a_session_run_in_order(engine: Engine) -> None:
    log: list[str] = []
    session = engine.open()
    for name in "xyz":
        engine.submit(session, Count(name, 2, log))
    engine.drain(session).result(20)
    assert log == list("xxyyzz")
    engine.close(session).result(20)


def test_a_newer_step_ends_a_supersedable_one(engine: Engine) -> None:
    log: list[str] = []
    gate = threading.Event()
    session = engine.open()
    engine.submit(session, Supersedable("old", 100, log, gate))
    engine.submit(session, Supersedable("older", 100, log, gate))
    engine.submit(session, Count("new", 2, log, gate))
    gate.set()
    engine.drain(session).result(20)
    assert log.count("old") <= 1
    assert log[-2:] == ["new", "new"]
    assert "older" not in log
    engine.close(session).result(20)


def test_closing_drops_what_is_queued(engine: Engine) -> None:
    log: list[str] = []
    gate = threading.Event()
    session = engine.open()
    engine.submit(session, Count("first", 100, log, gate))
    closed = engine.close(session)
    gate.set()
    closed.result(20)
    assert len(log) <= 1
    engine.submit(session, Count("late", 1, log))
    other = engine.open()
    engine.submit(other, Count("other", 1, log))
    engine.drain(other).result(20)
    assert "late" not in log
    engine.close(other).result(20)


def test_a_failing_step_costs_its_own_session_only(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    costs_only_its_own(engine, Broken("broken", 1, []))


def costs_only_its_own(engine: Engine, broken: Count) -> None:
    """A step fails, and the session beside it comes to its end."""
    log: list[str] = []
    bad, good = engine.open(), engine.open()
    engine.submit(bad, broken)
    engine.submit(good, Count("good", 3, log))
    assert isinstance(broken.error.result(20), EngineFailed)
    engine.drain(good).result(20)
    assert log == ["good"] * 3
    for session in (bad, good):
        engine.close(session).result(20)
    assert engine.alive


def test_timing_counts_passes_and_tokens(engine: Engine) -> None:
    session = engine.open()
    step = Count("t", 3, [])
    engine.submit(session, step)
    engine.drain(session).result(20)
    assert (step.timing.passes, step.timing.tokens) == (3, 5)
    assert step.timing.compute_s > 0
    engine.close(session).result(20)


class Spoilt:
    """Logits of a pass whose copy finds no memory."""

    def __getitem__(self, index: object) -> "Spoilt":
        return self

    def float(self) -> torch.Tensor:
        raise MemoryError


def favourites(engine: Engine, prompts: Sequence[bytes], passes: int) -> list[list[int]]:
    """What sessions that run at once decode."""

    class Decode(Count):
        def __init__(self, prompt: bytes) -> None:
            super().__init__("", passes, [], gate)
            self.prompt, self.ids = list(prompt), list[int]()

        def begin(self, session: Session) -> bool:
            session.rebase(0, self.prompt)
            return True

        def take(self, session: Session, decided: list[float]) -> bool:
            self.ids.append(int(decided[0]))
            session.tokens.extend([int(decided[0])])
            return super().take(session, decided)

    gate = threading.Event()
    steps = [Decode(prompt) for prompt in prompts]
    sessions = [engine.open() for _ in steps]
    for session, step in zip(sessions, steps, strict=True):
        engine.submit(session, step)
    gate.set()
    for session in sessions:
        engine.drain(session).result(20)
        engine.close(session).result(20)
    assert not any(step.error.done() for step in steps)
    return [step.ids for step in steps]


@pytest.mark.parametrize("at", range(1, 5))
def test_a_pass_that_fails_after_the_model_is_tried_again_from_the_same_tokens(
    engine: Engine, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [b"def add(a, b):", b"import re", b"The value"]
    undisturbed = favourites(engine, prompts, 6)
    compute, calls = engine.model.compute, count()

    def spoils(packed: Packed) -> Any:
        logits = compute(packed)
        return Spoilt() if next(calls) == at else logits

    monkeypatch.setattr(engine.model, "compute", spoils)
    assert favourites(engine, prompts, 6) == undisturbed


def test_what_fails_between_two_passes_costs_its_own_session_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step whose wanted rows come from two passes keeps those of the first."""

    class Long(Count):
        def begin(self, session: Session) -> bool:
            session.rebase(0, list(b"x" * 200))
            return True

        def feed(self, session: Session) -> Feed:
            return Feed(session.unseen(), rows=150)

    def fails(self: Queued, fed: int, logits: torch.Tensor) -> None:
        raise MemoryError

    monkeypatch.setattr(Queued, "advance", fails)
    costs_only_its_own(engine, Long("long", 1, []))


class DeviceLost(Count):
    """CUDA tells of an illegal access once, and of nothing else from then on."""

    @classmethod
    def decide(cls, steps: Sequence[Any], logits: torch.Tensor) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_that_is_lost_ends_the_engine_and_sessions_go_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = Engine(lambda: SimulatedModel(Simulation(), drafts=False))
    gate = threading.Event()
    steps = [DeviceLost("lost", 1, [], gate), Count("beside", 1, [], gate)]
    sessions = [engine.open() for _ in steps]
    for session, step in zip(sessions, steps, strict=True):
        engine.submit(session, step)
    gate.set()
    for step in steps:
        assert isinstance(step.error.result(20), PeerLost)
    late = Count("late", 1, [])
    engine.submit(sessions[0], late)
    assert isinstance(late.error.result(20), PeerLost)
    for session in sessions:
        engine.close(session).result(20)
    engine.stop()
    assert not engine.alive
    assert "the worker failed" in capsys.readouterr().out


def test_an_engine_that_was_given_up_waits_for_nobody_and_ends_if_it_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = Engine(lambda: SimulatedModel(Simulation(), drafts=False))
    assert engine.turn_s == 0
    gate, log = threading.Event(), list[str]()
    steps = [Count("hangs", 1, log, gate), Count("waits", 2, log)]
    hangs, waits = (engine.open() for _ in steps)
    engine.submit(hangs, steps[0])
    while not (before := engine.turn_s):
        time.sleep(0.01)
    engine.submit(waits, steps[1])
    assert engine.alive
    assert engine.turn_s > before
    engine.give_up()
    assert not engine.alive
    for session, step in zip((hangs, waits), steps, strict=True):
        assert isinstance(step.error.result(20), PeerLost)
        if session is waits:
            engine.close(session).result(20)
    gate.set()
    engine._worker.join(20)
    assert not engine._worker.is_alive()
    assert log in ([], ["hangs"]), "no step goes on"
    engine.close(hangs).result(20)
    engine.stop()
    assert "failed" not in capsys.readouterr().out


def test_a_step_that_is_superseded_as_it_begins_makes_no_forks(engine: Engine) -> None:
    class Forking(Supersedable):
        def begin(self, session: Session) -> bool:
            engine.submit(session, Count("new", 1, self.log))
            return super().begin(session)

        def forks(self) -> Sequence[tuple[int, Any]]:
            self.log.append("forks")
            return ()

    log: list[str] = []
    session = engine.open()
    engine.submit(session, Forking("old", 100, log))
    engine.drain(session).result(20)
    assert "forks" not in log
    assert log[-1] == "new"
    engine.close(session).result(20)
