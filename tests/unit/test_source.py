"""Where the expert goes on alone: which positions it decides does not depend on what is drafted.

Drafted tokens and the expert's own have other noise.  If it depended on the token drafted at a
position whether that token or the expert's own is taken there, the law would be neither's.
"""

import asyncio
from dataclasses import dataclass, replace
from unittest.mock import patch

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.loss import outlive_losses
from router.pace import History, Pace, Pass
from router.sessions import DrafterSession, DraftOrder, ExpertSession
from router.strategies.first import Piece
from router.strategies.pipeline import Pipeline
from router.strategies.speculative import speculate
from services.errors import NoPodLeft
from services.tokens import TokenSequence
from tests.unit.strategy_fakes import END, FakeDrafter, FakeExpert, task
from tests.unit.test_survival import ANSWER, DRAFTS

PROMPT = 3
TOKENS = 24
NEVER = 1000


@dataclass(frozen=True)
class Course:
    """What happens in an answer, and when: nothing of it depends on tokens."""

    block_length: int
    ahead: int
    alternatives: int
    draft_ticks: int
    """Of a drafted token."""
    verify_ticks: int
    alone_by: str
    """The expert goes on alone for what this answer finds, or another while this one's client takes
    tokens, or at any time,"""
    alone_at: int
    """behind so many verdicts, rounds, ticks,"""
    alone_for: int
    """for so many tokens."""
    lost_at: int
    """Behind so many verdicts no drafter takes another draft."""


class ToldPace(Pace):
    """Goes alone when it is told to, whatever pays."""

    left = 0

    @property
    def alone(self) -> int:
        return ToldPace.left

    def decoded_alone(self, tokens: int, ms: float, found: Pass | None) -> None:
        ToldPace.left -= tokens

    def _choose(self) -> None:
        """By nothing that was measured."""


class TimedDrafter(FakeDrafter):
    """Each token takes its time; what has begun is drafted, whatever becomes of the pods."""

    def __init__(self, script: list[int], course: Course) -> None:
        super().__init__(script, other=ANSWER)
        self.course, self.lost = course, False

    async def start_draft(self, order: DraftOrder) -> int:
        if self.lost:
            raise NoPodLeft("drafter", "gone")
        return await super().start_draft(order)

    async def piece(self) -> Piece:
        while True:
            await self._there.wait()
            first = self._pieces[0]
            for _ in range(self.course.draft_ticks * _longest(first)):
                await asyncio.sleep(0)
            if self._pieces[0] is first:  # it was not superseded
                return await super().piece()


def _longest(piece: Piece) -> int:
    """Tokens; forks are drafted in the same passes."""
    if isinstance(piece, drafter_pb2.DraftedForks):
        return max(len(block.tokens) for block in piece.blocks)
    return len(piece.tokens)


class SwitchingExpert(FakeExpert):
    """The expert's answer; with its verdicts comes what happens."""

    def __init__(self, answer: list[int], course: Course, drafter: TimedDrafter) -> None:
        super().__init__(answer)
        self.course, self.drafter, self.verdicts = course, drafter, 0

    async def verdict(self) -> expert_pb2.Verdict:
        for _ in range(self.course.verify_ticks):
            await asyncio.sleep(0)
        verdict = await super().verdict()
        self.verdicts += bool(verdict.tokens)  # not those on what a rejection has dropped
        if self.course.alone_by == "verdict" and self.verdicts == self.course.alone_at:
            ToldPace.left = self.course.alone_for
        self.drafter.lost |= self.verdicts == self.course.lost_at
        return verdict


async def sources(script: list[int], answer: list[int], course: Course) -> list[bool]:
    """Of each position of the answer, whether the expert decided it alone."""
    ToldPace.left = 0
    drafter = TimedDrafter(script, course)
    made = task(
        law_pb2.MODE_SPECULATIVE,
        drafter,
        SwitchingExpert(answer, course, drafter),
        max_tokens=TOKENS,
        block_length=course.block_length,
        temperature=1.0,
        draft_ahead=course.ahead,
        alternatives=course.alternatives if course.ahead and course.lost_at == NEVER else 0,
        history=History(),
    )
    made = replace(made, request=replace(made.request, outlives_drafter=True))

    async def open_drafter(law: law_pb2.Law) -> DrafterSession:
        raise AssertionError("there is none")

    async def open_expert(law: law_pb2.Law) -> ExpertSession:
        return FakeExpert(answer)

    emitting = outlive_losses(made, speculate, lambda: None, open_drafter, open_expert)
    clock = asyncio.create_task(_tick(course))
    tokens, rounds = [], 0
    async for emitted in emitting:
        tokens += emitted
        rounds += 1
        if course.alone_by == "client" and rounds == course.alone_at:
            ToldPace.left = course.alone_for
    clock.cancel()
    assert [token.id for token in tokens] == answer[PROMPT : PROMPT + len(tokens)]
    return [token.origin == expert_pb2.ORIGIN_EXPERT for token in tokens]


async def _tick(course: Course) -> None:
    if course.alone_by == "tick":
        for _ in range(course.alone_at):
            await asyncio.sleep(0)
        ToldPace.left = course.alone_for


WHEN = st.one_of(
    st.tuples(st.sampled_from(["verdict", "client"]), st.integers(1, 8)),
    st.tuples(st.just("tick"), st.integers(1, 200)),
)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Any."""
    alone_by, alone_at = draw(WHEN)
    return Course(
        block_length=draw(st.integers(1, 6)),
        ahead=draw(st.integers(0, 2)),
        alternatives=draw(st.integers(0, 3)),
        draft_ticks=draw(st.integers(1, 12)),
        verify_ticks=draw(st.integers(1, 40)),
        alone_by=alone_by,
        alone_at=alone_at,
        alone_for=draw(st.integers(1, 6)),
        lost_at=draw(st.one_of(st.integers(1, 8), st.just(NEVER))),
    )


@settings(max_examples=1500)
@example(Course(2, 1, 2, 1, 1, "verdict", 1, 1, NEVER), 4, False)
@given(courses(), st.integers(PROMPT, PROMPT + TOKENS - 1), st.booleans())
def test_who_decides_a_position_does_not_depend_on_what_is_drafted_there(
    course: Course, position: int, accepted: bool
) -> None:
    """An end ends the draft that it is in, and no other begins behind it."""

    async def both() -> tuple[list[bool], list[bool]]:
        ended, answer = list(DRAFTS), list(ANSWER)
        ended[position] = END
        if accepted:
            answer[position] = END
        return await sources(DRAFTS, ANSWER, course), await sources(ended, answer, course)

    with patch("router.strategies.speculative.Pace", ToldPace):
        plain, other = asyncio.run(both())
    until = position - PROMPT + 1
    assert plain[:until] == other[:until]


def ordered(*, bonus: bool = False) -> Pipeline:
    """The block 11, 12 is at the expert; three tokens are being drafted behind it, and on a fork.

    The fork has 20 in place of 11.
    """
    pipeline = Pipeline(TokenSequence([1, 2, 3]), 50, frozenset(), bonus=bonus)
    pipeline.order(2)
    block = drafter_pb2.DraftedBlock(position=3, last=True)
    for id in (11, 12):
        block.tokens.add(id=id)
        block.alternatives.add(ids=[20])
    assert pipeline.drafted(block) is not None
    pipeline.order(3, [(0, 0)])
    return pipeline


def reject(pipeline: Pipeline, token: int) -> int:
    """The expert has this in place of 11; how many positions are to be drafted anew."""
    emitted = [expert_pb2.EmittedToken(id=token)]
    pipeline.verdict(expert_pb2.Verdict(position=3, accepted=0, tokens=emitted))
    return pipeline.redrafts


def test_what_was_dropped_is_drafted_anew() -> None:
    assert reject(ordered(), 21) == 4, "12, and three that may have been drafted by then"
    assert reject(ordered(bonus=True), 21) == 0, "the expert's own noise is the same"
    pipeline = ordered()
    short = drafter_pb2.DraftedBlock(position=5, last=True)
    short.tokens.add(id=13)
    pipeline.drafted(short)
    assert reject(pipeline, 21) == 3, "the fork may have reached to there"


def test_what_was_drafted_on_a_fork_is_drafted_anew() -> None:
    pipeline = ordered()
    short = drafter_pb2.DraftedBlock(position=5, last=True)
    short.tokens.add(id=13)
    pipeline.drafted(short)
    forks = drafter_pb2.DraftedForks()
    block = forks.blocks.add(position=4)
    for id in (31, 32, 33):
        block.tokens.add(id=id)
    pipeline.forked(forks)
    assert reject(pipeline, 21) == 3
