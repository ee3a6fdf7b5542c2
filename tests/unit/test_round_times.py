"""What a course of rounds is measured by, and what is no measure of the rounds to come."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from cascade.v1 import drafter_pb2, expert_pb2, law_pb2

from router.pace import Draft, History, Pace, Pass
from router.pace.times import Times
from router.sessions import DraftOrder, ExpertSession
from router.strategies import clock
from router.strategies.first import Piece
from tests.unit.strategy_fakes import FakeDrafter, FakeExpert, run, task

RIGHT = [7, 8, 9, *range(10, 60)]


class SharedExpert(FakeExpert):
    """Tells that four sessions take part in its passes."""

    def decide(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> expert_pb2.Verdict:
        verdict = super().decide(position, append, prefix_hash, block)
        verdict.timing.sessions, verdict.timing.passes = 4, 1
        return verdict


async def test_what_rounds_make_is_measured_by_how_many_share_the_expert() -> None:
    history, answer = History(), [7, 8, 9, *range(10, 60)]
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(answer),
        SharedExpert(answer, bonus=True),
        max_tokens=30,
        history=history,
    )
    assert await run(made) == list(range(10, 40))
    assert history.load.shared
    assert history.load.speed > 0
    assert history.running == 0, "the answer is made"


class StandingTime:
    """Time that passes while a slot is waited for, and nowhere else."""

    def __init__(self) -> None:
        self.now = 1.0

    def perf_counter(self) -> float:
        return self.now


class FeedingDrafter(FakeDrafter):
    """Tells of passes; the first draft was fed a prompt as well."""

    async def piece(self) -> Piece:
        piece = await super().piece()
        assert isinstance(piece, drafter_pb2.DraftedBlock)
        passes = len(piece.tokens)
        fed = 500 if piece.position == 3 else 0
        piece.timing.CopyFrom(law_pb2.StepTiming(passes=passes, tokens=passes + fed))
        return piece


async def test_a_round_that_fed_a_prompt_is_no_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float | None] = []
    monkeypatch.setattr(Pace, "emitted", lambda self, tokens, ms: told.append(ms))
    made = task(law_pb2.MODE_SPECULATIVE, FeedingDrafter(RIGHT), FakeExpert(RIGHT), block_length=4)
    await run(made)
    assert len(told) > 4
    assert [i for i, ms in enumerate(told) if ms is None] == [0]


async def test_waiting_for_the_experts_slot_is_no_part_of_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standing, told = StandingTime(), list[float | None]()
    monkeypatch.setattr(clock, "time", standing)
    monkeypatch.setattr(Pace, "emitted", lambda self, tokens, ms: told.append(ms))
    expert = FakeExpert(RIGHT)
    made = task(law_pb2.MODE_SPECULATIVE, FakeDrafter(RIGHT), expert, block_length=4)

    async def open_expert() -> ExpertSession:
        standing.now += 10.0
        return expert

    await run(replace(made, open_expert=open_expert))
    assert told
    assert not any(told)


class ToldDrafter(FakeDrafter):
    """Tells of passes, and was fed nothing beside its own tokens."""

    async def piece(self) -> Piece:
        piece = await super().piece()
        assert isinstance(piece, drafter_pb2.DraftedBlock)
        passes = len(piece.tokens)
        piece.timing.CopyFrom(law_pb2.StepTiming(passes=passes, tokens=passes))
        return piece


async def test_waiting_for_the_experts_slot_is_no_part_of_the_first_drafts_trip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standing, told = StandingTime(), list[float | None]()

    def verified(
        self: History, length: int, found: Pass, trip_ms: float | None, draft: Draft | None
    ) -> None:
        if draft is not None:
            told.append(draft.trip_ms)

    monkeypatch.setattr(clock, "time", standing)
    monkeypatch.setattr(History, "verified", verified)
    expert = FakeExpert(RIGHT)
    made = task(law_pb2.MODE_SPECULATIVE, ToldDrafter(RIGHT), expert, block_length=4)

    async def open_expert() -> ExpertSession:
        standing.now += 10.0
        return expert

    await run(replace(made, open_expert=open_expert))
    assert len(told) > 4
    assert told[0] is None
    assert not any(told)
    assert None not in told[1:]


class MovedExpert(FakeExpert):
    """Decodes three tokens, then goes on elsewhere, where all is fed and counted anew."""

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncGenerator[expert_pb2.DecodedTokens, None]:
        counts = iter([(1, 6), (2, 7), (3, 8), (1, 10), (2, 11)])
        decoding = super().decode(position, append, prefix_hash, max_tokens)
        async for piece in decoding:
            passes, tokens = next(counts)
            piece.timing.CopyFrom(
                law_pb2.StepTiming(passes=passes, tokens=tokens, compute_ms=20.0 * passes)
            )
            yield piece


async def test_a_session_that_moves_while_it_decodes_alone_is_no_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Pass | None] = []

    def decoded_alone(self: Pace, tokens: int, ms: float, measured: Pass | None) -> None:
        found.append(measured)

    monkeypatch.setattr(Pace, "decoded_alone", decoded_alone)
    history = History()
    history.load.left = 5.0
    expert = MovedExpert(RIGHT)
    made = task(law_pb2.MODE_SPECULATIVE, FakeDrafter(RIGHT), expert, max_tokens=5, history=history)
    assert await run(made) == RIGHT[3:8]
    assert [None if one is None else one.ms for one in found] == [20.0, 20.0, 20.0, None, 20.0]


class DeferringDrafter(FakeDrafter):
    """Drafts two tokens, and defers the third."""

    async def start_draft(self, order: DraftOrder) -> int:
        return await super().start_draft(order._replace(max_tokens=min(order.max_tokens, 3)))

    async def piece(self) -> Piece:
        piece = await super().piece()
        assert isinstance(piece, drafter_pb2.DraftedBlock)
        piece.timing.passes = 1
        for token in piece.tokens:
            token.defer = piece.last
        return piece


async def test_of_a_token_cascade_the_steps_that_fed_the_prompt_are_no_measure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drafts: list[Draft] = []
    passes: list[Pass] = []
    monkeypatch.setattr(Times, "drafted", lambda self, draft: drafts.append(draft))
    monkeypatch.setattr(History, "decoded", lambda self, found: passes.append(found))
    made = task(
        law_pb2.MODE_TOKEN_CASCADE, DeferringDrafter(RIGHT), FakeExpert(RIGHT), max_tokens=18
    )
    assert await run(made) == RIGHT[3:21]
    assert made.recorder.statistics().rounds == 6, "two tokens drafted and one deferred in each"
    assert len(drafts) == len(passes) == 5
