"""Nobody starves: the wait of each session is bounded in passes, whoever else is there."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future

import pytest
import torch

from services.engine import schedule
from services.engine.engine import Engine
from services.engine.model import load
from services.engine.pages import PAGE
from services.engine.passes import PassReport
from services.engine.schedule import Piece, Waiting, choose
from services.engine.session import Session
from services.errors import CascadeError
from tests.services import TINY
from tests.unit.greedy_step import GreedyStep

CHUNK = 32
LONG = 320


class Reader(GreedyStep):
    """Feeds a prompt, then token by token, and notes the pass of each."""

    def __init__(self, prompt: list[int], passes: int, now: list[PassReport]) -> None:
        super().__init__()
        self._prompt, self._left, self._now = prompt, passes, now
        self.at: list[int] = []
        """The passes whose logits it took, by number."""
        self.tokens: list[int] = []
        """What it decided."""
        self.done: Future[None] = Future()

    def begin(self, session: Session) -> bool:
        session.rebase(0, self._prompt)
        return True

    def take(self, session: Session, decided: list[float]) -> bool:
        self.tokens.append(int(decided[0]))
        session.tokens.extend(self.tokens[-1:])
        self.at.append(len(self._now))
        self._left -= 1
        if not self._left:
            self.done.set_result(None)
        return not self._left

    def fail(self, error: CascadeError) -> None:
        self.done.set_exception(error)


class Next(Reader):
    """Decides one token more of a session."""

    def __init__(self, now: list[PassReport]) -> None:
        super().__init__([], 1, now)

    def begin(self, session: Session) -> bool:
        return True


class Held(Reader):
    """Holds the worker back until all others have been submitted."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__([1], 1, [])
        self._gate = gate

    def begin(self, session: Session) -> bool:
        assert self._gate.wait(20)
        return super().begin(session)


def a_prompt(which: int, length: int) -> list[int]:
    return [(which + j) % 256 for j in range(length)]


def an_engine(pages: int, reports: list[PassReport]) -> Engine:
    torch.set_num_threads(1)
    facts = load(TINY / "drafter", device="cpu", dtype="float32").facts
    budget = pages * PAGE * facts.cache_bytes // facts.cache_tokens
    return Engine(
        lambda: load(TINY / "drafter", device="cpu", dtype="float32", cache_bytes=budget),
        chunk=CHUNK,
        report=reports.append,
    )


@pytest.fixture
def reports() -> list[PassReport]:
    return []


@pytest.fixture
def engine(reports: list[PassReport]) -> Iterator[Engine]:
    engine = an_engine(200, reports)
    yield engine
    engine.stop()


def run_together(engine: Engine, readers: list[Reader]) -> None:
    gate = threading.Event()
    engine.submit(engine.open(), Held(gate))
    for reader in readers:
        engine.submit(engine.open(), reader)
    gate.set()
    for reader in readers:
        reader.done.result(60)


def test_a_long_prompt_delays_nobody_by_more_than_its_chunk(
    engine: Engine, reports: list[PassReport]
) -> None:
    short = [Reader([i, 2, 3], 40, reports) for i in range(8)]
    long = Reader([i % 256 for i in range(LONG)], 1, reports)
    run_together(engine, [*short, long])
    for reader in short:
        assert [b - a for a, b in zip(reader.at, reader.at[1:], strict=False)] == [1] * 39
    assert long.at[0] - short[0].at[0] <= LONG // CHUNK
    assert max(report.tokens for report in reports) <= 8 * 3 + 1 + CHUNK
    assert any(report.prefill and report.sessions == 9 for report in reports)


@pytest.mark.parametrize("others", [0, 1])
def test_a_long_prompt_takes_two_chunks_a_pass_where_no_other_session_is_open(
    engine: Engine, reports: list[PassReport], others: int
) -> None:
    idle = [engine.open() for _ in range(others)]
    reader = Reader([i % 256 for i in range(LONG)], 1, reports)
    engine.submit(engine.open(), reader)
    reader.done.result(60)
    engine.stop()  # the last pass is told of after its steps
    chunk = CHUNK if idle else 2 * CHUNK
    assert [report.tokens for report in reports] == [chunk] * (LONG // chunk)


def test_long_prompts_take_turns(engine: Engine, reports: list[PassReport]) -> None:
    """None waits for more passes than there are others."""
    long = [Reader([(7 * i + j) % 256 for j in range(LONG)], 1, reports) for i in range(4)]
    run_together(engine, list(long))
    ends = sorted(reader.at[0] for reader in long)
    assert ends[-1] - ends[0] <= 4, "they end one after the other, not one before all others"
    assert ends[-1] <= 4 * LONG // CHUNK + 2
    assert max(report.tokens for report in reports) <= CHUNK + 1, "together no more than one"


def test_a_session_without_room_waits_for_older_ones_alone(
    reports: list[PassReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The young give way, and see their tokens anew: none is lost."""
    monkeypatch.setattr(schedule, "IDLE_S", 0.0)
    engine = an_engine(10, reports)
    try:
        readers = [Reader(a_prompt(i, 100), 24, reports) for i in range(4)]
        run_together(engine, list(readers))
        first = [reader.at[0] for reader in readers]
        assert first == sorted(first)
        for reader, before in zip(readers[1:], readers, strict=False):
            assert reader.at[0] <= before.at[-1] + 2 * -(-100 // CHUNK)
        assert engine.model.cache.preemptions > 0
        for i, reader in enumerate(readers):
            assert reader.tokens == alone(engine, a_prompt(i, 100), 24)
    finally:
        engine.stop()


def test_who_gives_way_in_the_midst_of_a_long_feed_begins_it_anew(
    reports: list[PassReport],
) -> None:
    engine = an_engine(10, reports)
    try:
        # They feed chunks in turn; the old one's last finds 6 pages its own and 4 the young one's.
        old, young = Reader(a_prompt(0, 110), 4, reports), Reader(a_prompt(5, 110), 4, reports)
        run_together(engine, [old, young])
        assert engine.model.cache.preemptions > 0
        assert young.tokens == alone(engine, a_prompt(5, 110), 4)
    finally:
        engine.stop()


def an_old_one_and_a_long_prompt(
    engine: Engine, reports: list[PassReport]
) -> tuple[Session, Reader, Session, Reader]:
    """A session that has read 7 pages, and a younger one that is to: each with its reader."""
    old, young = engine.open(), engine.open()
    first = Reader(a_prompt(0, 100), 1, reports)
    engine.submit(old, first)
    first.done.result(60)
    long = Reader(a_prompt(5, 100), 4, reports)
    engine.submit(young, long)
    return old, first, young, long


def test_a_session_between_two_rounds_keeps_its_pages_from_younger_ones(
    reports: list[PassReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fed anew in each round, its tokens would cost more than what the younger one waits."""
    monkeypatch.setattr(schedule, "IDLE_S", 600.0)
    engine = an_engine(10, reports)
    try:
        old, _, young, long = an_old_one_and_a_long_prompt(engine, reports)
        for _ in range(20):
            one = Next(reports)
            engine.submit(old, one)
            one.done.result(60)
        assert old.timing.tokens == 100 + 20
        assert not long.done.done()
        engine.close(old).result(20)
        long.done.result(60)
        engine.close(young).result(20)
        assert long.tokens == alone(engine, a_prompt(5, 100), 4)
    finally:
        engine.stop()


def test_nobody_gives_way_where_that_makes_too_little_room(
    reports: list[PassReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[list[Piece]] = []

    def noted(turn: Sequence[Waiting], sessions: Iterable[Session], chunk: int) -> list[Piece]:
        chosen.append(choose(turn, sessions, chunk))
        return chosen[-1]

    monkeypatch.setattr(schedule, "IDLE_S", 600.0)
    monkeypatch.setattr("services.engine.engine.choose", noted)
    engine = an_engine(10, reports)
    try:
        old, waiting, young = (engine.open() for _ in range(3))
        for session, length in ((old, 100), (young, 10)):
            first = Reader(a_prompt(0, length), 1, reports)
            engine.submit(session, first)
            first.done.result(60)
        long = Reader(a_prompt(5, 100), 1, reports)
        engine.submit(waiting, long)  # two pages are left for its first chunk, and none for more
        for _ in range(5):
            for session in (old, young):
                one = Next(reports)
                engine.submit(session, one)
                one.done.result(60)
        looked = len(chosen)
        time.sleep(1.0)
        assert len(chosen) - looked < 50, "it waits for room, and does not ask all the time"
        assert engine.model.cache.preemptions == 0
        assert (old.timing.tokens, young.timing.tokens) == (100 + 5, 10 + 5)
        engine.close(old).result(20)
        long.done.result(60)
    finally:
        engine.stop()


def test_a_session_that_rests_gives_way_to_younger_ones(
    reports: list[PassReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "IDLE_S", 0.2)
    engine = an_engine(10, reports)
    try:
        old, first, _, long = an_old_one_and_a_long_prompt(engine, reports)
        long.done.result(60)
        again = Next(reports)
        engine.submit(old, again)
        again.done.result(60)
        assert [*first.tokens, *again.tokens] == alone(engine, a_prompt(0, 100), 2)
    finally:
        engine.stop()


def alone(engine: Engine, prompt: list[int], passes: int) -> list[int]:
    """What a session decides that has the engine for itself, and finds nothing in the cache."""
    engine.model.cache.shares = False
    reader = Reader(prompt, passes, [])
    session = engine.open()
    engine.submit(session, reader)
    reader.done.result(60)
    engine.close(session).result(20)
    return reader.tokens
