"""An engine that stands aside while its results are handed on: only where nothing else is to do."""

import threading
from collections.abc import Iterator

import pytest

from services.engine import engine as engine_module
from services.engine.engine import Engine
from services.engine.session import Session
from services.engine.simulated import SimulatedModel, Simulation
from tests.unit.test_engine_fairness import Reader

SOON_S = 20.0
"""Whoever stood aside for the time below would not be done until then."""


class Kept(Reader):
    """Is taken when the gate is open."""

    def __init__(self, prompt: list[int], passes: int, gate: threading.Event) -> None:
        super().__init__(prompt, passes, [])
        self._gate = gate
        self.asked = threading.Event()

    def take(self, session: Session, decided: list[float]) -> bool:
        self.asked.set()
        assert self._gate.wait(SOON_S)
        return super().take(session, decided)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """One that stands aside for a minute, if it does."""
    monkeypatch.setattr(engine_module, "_HANDING_ON_S", 60.0)
    engine = Engine(lambda: SimulatedModel(Simulation(), drafts=True))
    yield engine
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    stopper.join(SOON_S)
    assert not engine.alive, "to stop is something to do"


def test_what_comes_meanwhile_is_begun_at_once(patient: Engine) -> None:
    session = patient.open()
    for _ in range(3):
        reader = Reader([1, 2, 3], 2, [])
        patient.submit(session, reader)
        reader.done.result(SOON_S)


def test_a_step_that_waits_behind_another_is_begun_at_once(patient: Engine) -> None:
    session, gate = patient.open(), threading.Event()
    first, second = Kept([1, 2, 3], 1, gate), Reader([1, 2, 3], 1, [])
    patient.submit(session, first)
    patient.submit(session, second)  # while the first is in its pass, or before
    gate.set()
    second.done.result(SOON_S)


def test_sessions_that_go_on_wait_for_nobody(patient: Engine) -> None:
    gate = threading.Event()
    steps = [Kept([1, 2, n], n, gate) for n in (1, 5, 9)]
    for step in steps:
        patient.submit(patient.open(), step)
    gate.set()
    for step in steps:
        step.done.result(SOON_S)


def test_a_session_that_came_during_the_pass_waits_for_nobody(patient: Engine) -> None:
    gate = threading.Event()
    first, other = Kept([1, 2, 3], 1, gate), Reader([4, 5], 1, [])
    patient.submit(patient.open(), first)
    assert first.asked.wait(SOON_S)
    patient.submit(patient.open(), other)
    gate.set()
    other.done.result(SOON_S)


def test_a_session_is_closed_meanwhile(patient: Engine) -> None:
    session = patient.open()
    reader = Reader([1, 2, 3], 1, [])
    patient.submit(session, reader)
    reader.done.result(SOON_S)
    patient.close(session).result(SOON_S)
    assert patient.model.cache.used == 0
