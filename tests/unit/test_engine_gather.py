"""Passes that wait for the sessions of the last one: for how long, and for whom no longer."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
import torch

from services.engine.engine import Engine
from services.engine.gather import Gather
from services.engine.model import Model, load
from services.engine.passes import PassReport
from services.engine.session import Queued, Session
from services.errors import CascadeError
from tests.services import TINY
from tests.unit.greedy_step import GreedyStep

LONG_S = 1000.0


class One(GreedyStep):
    """One token."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        super().__init__()
        self._gate = gate
        self.done: Future[None] = Future()

    def begin(self, session: Session) -> bool:
        session.rebase(0, list(b"abc"))
        assert self._gate is None or self._gate.wait(20)
        return True

    def take(self, session: Session, decided: list[float]) -> bool:
        self.done.set_result(None)
        return True

    def fail(self, error: CascadeError) -> None:
        self.done.set_exception(error)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)
    return load(TINY / "drafter", device="cpu", dtype="float32")


Turn = list[tuple[Session, Queued]]
Expecting = Callable[[float], tuple[Gather, Turn]]


@pytest.fixture
def expecting(model: Model) -> Expecting:
    """Makes one that has seen a pass of LONG_S with two sessions."""

    def make(share: float) -> tuple[Gather, Turn]:
        gather = Gather(share)
        both = [(Session(model), Queued(One())) for _ in range(2)]
        assert gather.remaining_s(both) <= 0, "nobody is expected at first"
        gather.passed(LONG_S)
        return gather, both

    return make


def test_a_pass_waits_for_who_was_in_the_last_one(expecting: Expecting) -> None:
    gather, (first, second) = expecting(0.5)
    remaining = gather.remaining_s([first])
    assert 0.4 * LONG_S < remaining <= 0.5 * LONG_S
    assert gather.remaining_s([first, second]) <= 0


def test_without_a_share_nobody_is_waited_for(expecting: Expecting) -> None:
    gather, (first, _) = expecting(0.0)
    assert gather.remaining_s([first]) <= 0


def test_the_wait_counts_from_when_the_first_step_came(expecting: Expecting) -> None:
    gather, (first, _) = expecting(0.5)
    first[1].since -= 0.4 * LONG_S
    assert 0 < gather.remaining_s([first]) <= 0.1 * LONG_S
    first[1].since -= 0.2 * LONG_S
    assert gather.remaining_s([first]) <= 0


def test_who_did_not_come_is_not_expected_until_it_has_come(expecting: Expecting) -> None:
    gather, (first, second) = expecting(0.5)
    first[1].since -= LONG_S
    assert gather.remaining_s([first]) <= 0, "the time is over"
    fresh = first[0], Queued(One())
    assert gather.remaining_s([fresh]) <= 0, "nobody else is expected"
    assert gather.remaining_s([fresh, second]) <= 0
    assert gather.remaining_s([(first[0], Queued(One()))]) > 0, "it has come again"


def test_nobody_is_waited_for_in_the_midst_of_a_step(expecting: Expecting) -> None:
    gather, (first, second) = expecting(0.5)
    first[1].begun = True
    assert gather.remaining_s([first]) <= 0
    assert gather.remaining_s([(first[0], Queued(One()))]) > 0, "the other is still expected"
    second[0].closed = Future()
    assert gather.remaining_s([(first[0], Queued(One()))]) <= 0, "it has left"


@pytest.fixture
def reports() -> list[PassReport]:
    return []


@pytest.fixture
def engine(reports: list[PassReport]) -> Iterator[Engine]:
    torch.set_num_threads(1)
    engine = Engine(
        lambda: load(TINY / "drafter", device="cpu", dtype="float32"),
        gather=1e6,
        report=reports.append,
    )
    yield engine
    engine.stop()


def test_sessions_that_come_one_after_the_other_share_a_pass(
    engine: Engine, reports: list[PassReport]
) -> None:
    """Nothing but the second session ends the wait of the first."""
    first, second = engine.open(), engine.open()
    gate = threading.Event()
    holding = engine.open()
    engine.submit(holding, One(gate))
    closed = engine.close(holding)
    for session in (first, second):
        engine.submit(session, One())
    gate.set()
    closed.result(20)
    for session in (first, second):
        engine.drain(session).result(20)
    assert reports[-1].sessions == 2
    step = One()
    engine.submit(first, step)
    with pytest.raises(TimeoutError):
        step.done.result(0.2)
    engine.submit(second, One())
    for session in (first, second):
        engine.drain(session).result(20)
    assert reports[-1].sessions == 2


def test_who_leaves_is_not_waited_for(engine: Engine, reports: list[PassReport]) -> None:
    leaving, staying = engine.open(), engine.open()
    engine.submit(leaving, One())
    engine.drain(leaving).result(20)
    step = One()
    engine.submit(staying, step)
    with pytest.raises(TimeoutError):
        step.done.result(0.2)
    engine.close(leaving).result(20)
    engine.drain(staying).result(20)
    assert [report.sessions for report in reports] == [1, 1]
