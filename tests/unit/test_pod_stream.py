"""A session's stream on a pod: what it may ask for before it reads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from services.engine.engine import Engine
from services.engine.session import Session
from services.engine.simulated import SimulatedModel, Simulation
from services.errors import CascadeError, InvalidField
from services.pod import stream
from services.pod.metrics import PodMetrics
from services.pod.stream import Pod
from services.serving.slots import Slots
from tests.unit.greedy_step import GreedyStep
from tests.until import until

LIMIT = 8


class Once(GreedyStep):
    """One pass, one result."""

    def __init__(self, emit: Callable[[int | CascadeError], None]) -> None:
        super().__init__()
        self._emit = emit

    def begin(self, session: Session) -> bool:
        session.rebase(0, [1])
        return True

    def take(self, session: Session, decided: list[float]) -> bool:
        self._emit(int(decided[0]))
        return True

    def fail(self, error: CascadeError) -> None:
        self._emit(error)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(lambda: SimulatedModel(Simulation(), drafts=False))
    yield engine
    engine.stop()


async def ask(count: int, sent: list[int]) -> AsyncIterator[int]:
    for n in range(count):
        sent.append(n)
        yield n
        await asyncio.sleep(0.002)  # for the engine to answer


async def test_a_router_that_never_reads_is_ended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing holds what it asks for without a bound; one that reads may ask for as much."""
    monkeypatch.setattr(stream, "MAX_UNANSWERED", LIMIT)
    slots = Slots(1, 0)
    pod, sent = Pod(engine, slots, PodMetrics()), list[int]()

    def run(count: int) -> AsyncIterator[int]:
        return pod.run_session(
            ask(count, sent), lambda queue_ms: -1, lambda n, emit: Once(emit), lambda response: 1
        )

    answered = [response async for response in run(10 * LIMIT)]
    assert len(answered) == 1 + 10 * LIMIT
    sent.clear()
    unread = run(10 * LIMIT)
    assert await anext(unread) == -1
    async with asyncio.timeout(20):
        await until(lambda: len(sent) > LIMIT)
        await asyncio.sleep(0.1)
        assert len(sent) <= LIMIT + 1, "it is read no further"
        with pytest.raises(InvalidField, match="step: must have fewer than 8 before it"):
            async for _ in unread:
                pass
    assert slots.free == 1
