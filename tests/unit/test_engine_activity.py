"""What steps tell of their passes: the rows of all sessions, and how many sessions take part."""

import threading

import pytest

from services.engine.activity import PASSES
from services.engine.engine import Engine
from services.engine.session import Session
from services.engine.simulated import SimulatedModel, Simulation
from services.engine.step import Feed
from tests.unit.test_engine_fairness import Held, Reader


class Block(Reader):
    """A prompt, then one pass for so many rows."""

    def __init__(self, rows: int) -> None:
        super().__init__([1] * rows, 1, [])
        self._rows = rows

    def feed(self, session: Session) -> Feed:
        return Feed(self._prompt, self._rows)


@pytest.fixture
def engine() -> Engine:
    return Engine(lambda: SimulatedModel(Simulation(), drafts=False))


def run(engine: Engine, reader: Reader) -> Session:
    """To its end; its session, still open."""
    session = engine.open()
    engine.submit(session, reader)
    reader.done.result(20)
    return session


def test_rows_are_those_of_all_sessions_in_the_pass(engine: Engine) -> None:
    gate = threading.Event()
    one, other = Block(5), Block(3)
    for reader in (Held(gate), one, other):
        engine.submit(engine.open(), reader)
    gate.set()
    for reader in (one, other):
        reader.done.result(20)
        assert (reader.timing.rows, reader.timing.sessions) == (1 + 5 + 3, 3)


def test_rows_add_up_over_a_steps_passes(engine: Engine) -> None:
    one = Reader([1, 2], 4, [])
    run(engine, one)
    assert (one.timing.passes, one.timing.rows) == (4, 4)


def test_a_session_takes_part_for_some_passes_after_its_last(engine: Engine) -> None:
    run(engine, Reader([1], 1, []))
    soon = Reader([2], 1, [])
    run(engine, soon)
    assert soon.timing.sessions == 2, "the first one is open, and may come again"
    many = Reader([3], PASSES, [])
    session = run(engine, many)
    assert many.timing.sessions == 1
    engine.close(session).result(20)
    later = Reader([4], 1, [])
    run(engine, later)
    assert later.timing.sessions == 1, "who has left counts no more"
