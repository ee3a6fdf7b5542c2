"""The strategies over fakes: what they ask of the two sessions, and in which order."""

import asyncio
from collections.abc import Iterator
from itertools import cycle, repeat

import pytest
from cascade.v1 import expert_pb2, law_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from router.pace import Draft, History, Pass
from router.strategies.speculative import speculate
from services.errors import EngineFailed
from tests.unit.strategy_fakes import END, FakeDrafter, FakeExpert, run, task

RIGHT = [7, 8, 9, *range(10, 60)]
WRONG = [7, 8, 9, *(t if i % 4 else 0 for i, t in enumerate(range(10, 60)))]
ENDING = [7, 8, 9, *range(10, 17), END, *range(18, 60)]


@pytest.mark.parametrize("block_length", [None, 1, 2, 5, 8])
@pytest.mark.parametrize("script", [RIGHT, WRONG, [7, 8, 9, *[0] * 50]])
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("max_tokens", [1, 2, 20])
async def test_the_answer_is_the_experts(
    block_length: int | None, script: list[int], bonus: bool, max_tokens: int
) -> None:
    """Perfect match, misses of some, misses of all; never a token too many."""
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(script),
        FakeExpert(RIGHT, bonus=bonus),
        max_tokens,
        block_length,
        temperature=0.0 if bonus else 1.0,
    )
    assert await run(made) == RIGHT[3 : 3 + max_tokens]
    assert sum(made.recorder.statistics().tokens_by_origin.values()) == max_tokens


@pytest.mark.parametrize("ahead", [0, 1, 3])
async def test_an_accepted_end_token_is_the_last(ahead: int) -> None:
    for block_length in (1, 3, 8):
        made = task(
            law_pb2.MODE_SPECULATIVE,
            FakeDrafter(ENDING),
            FakeExpert(ENDING, bonus=True),
            block_length=block_length,
            draft_ahead=ahead,
        )
        assert await run(made) == [*range(10, 17), END]


delays = st.lists(st.integers(0, 12), min_size=1, max_size=8).map(cycle)


@settings(max_examples=400, deadline=None)
@given(
    wrong=st.sets(st.integers(0, 40)),
    end=st.integers(0, 40),
    bonus=st.booleans(),
    ahead=st.integers(0, 4),
    block_length=st.none() | st.integers(1, 7),
    early_stop=st.sampled_from([None, 0.0, 0.5]),
    unsure=st.sets(st.integers(3, 40)),
    max_tokens=st.integers(1, 30),
    forgets=st.booleans(),
    defers=st.sets(st.integers(3, 40), max_size=4),
    alternatives=st.integers(0, 2),
    forks_first=st.booleans(),
    no_room=st.sets(st.integers(0, 8)),
    drafter=delays,
    expert=delays,
)
def test_drafting_ahead_changes_no_token(
    wrong: set[int],
    end: int,
    bonus: bool,
    ahead: int,
    block_length: int | None,
    early_stop: float | None,
    unsure: set[int],
    max_tokens: int,
    forgets: bool,
    defers: set[int],
    alternatives: int,
    forks_first: bool,
    no_room: set[int],
    drafter: Iterator[int],
    expert: Iterator[int],
) -> None:
    """Whatever comes first, wherever the drafter is wrong, and wherever the answer ends."""
    answer = [7, 8, 9, *(END if i == end else 10 + i for i in range(50))]
    script = [0 if i - 3 in wrong else token for i, token in enumerate(answer)]
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(script, drafter, answer, forks_first, no_room, 3 + max_tokens, unsure),
        FakeExpert(answer, bonus=bonus, forgets=forgets, delays=expert, defers=defers),
        max_tokens,
        block_length,
        temperature=0.0 if bonus else 1.0,
        draft_ahead=ahead,
        alternatives=alternatives,
        early_stop=early_stop,
    )
    whole = answer[3 : 3 + max_tokens]
    expected = whole[: whole.index(END) + 1] if END in whole else whole
    assert asyncio.run(asyncio.wait_for(run(made), 10)) == expected
    stats = made.recorder.statistics()
    assert stats.blocks_ahead_used <= stats.blocks_ahead
    assert ahead or not stats.blocks_ahead
    assert stats.forks_used <= stats.forks
    assert (ahead and alternatives) or not stats.forks


@pytest.mark.parametrize("bonus", [False, True])
async def test_while_all_is_accepted_the_expert_never_waits(bonus: bool) -> None:
    """A slow expert: every block but the first is there before the verdict on the one before."""
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(RIGHT),
        FakeExpert(RIGHT, bonus=bonus, delays=repeat(30)),
        max_tokens=40,
        block_length=4,
        temperature=0.0 if bonus else 1.0,
        draft_ahead=1,
    )
    assert await run(made) == RIGHT[3:43]
    stats = made.recorder.statistics()
    assert stats.rounds == 40 / (4 + bonus)
    assert stats.blocks_ahead == stats.blocks_ahead_used == stats.rounds - 1


@pytest.mark.parametrize("forks_first", [False, True])
@pytest.mark.parametrize("bonus", [False, True])
async def test_a_foreseen_rejection_costs_no_wait(bonus: bool, forks_first: bool) -> None:
    """Every fourth token is the drafter's second alternative, and the expert slow."""
    history = History()
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(WRONG, other=RIGHT, forks_first=forks_first),
        FakeExpert(RIGHT, bonus=bonus, delays=repeat(30)),
        max_tokens=40,
        block_length=4,
        temperature=0.0 if bonus else 1.0,
        draft_ahead=1,
        alternatives=2,
        history=history,
    )
    assert await run(made) == RIGHT[3:43]
    stats = made.recorder.statistics()
    assert stats.rejections == stats.tokens_by_origin["ORIGIN_RESAMPLED"] == 10
    assert list(stats.rejections_by_alternative) == [0, 10]
    # At first the second alternative is not known to be worth its forks.
    assert stats.forks_used >= 8
    assert history.foresight.rates(2)[1] > 0.5


@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize(("ahead", "alternatives"), [(0, 0), (1, 0), (1, 2)])
async def test_each_token_is_counted_with_its_own_top_probability(
    bonus: bool, ahead: int, alternatives: int
) -> None:
    """The drafter is unsure of what it has wrong, and of nothing else; some blocks begin ahead."""
    history, wrong = History(), range(12, 50, 9)
    script = [0 if i in wrong else token for i, token in enumerate(RIGHT)]
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(script, unsure=wrong, other=RIGHT),
        FakeExpert(RIGHT, bonus=bonus, delays=repeat(30)),
        max_tokens=40,
        temperature=0.0 if bonus else 1.0,
        draft_ahead=ahead,
        alternatives=alternatives,
        early_stop=None,
        history=history,
    )
    assert await run(made) == RIGHT[3:43]
    found = history.top_probs.acceptance()
    assert found[2] < 0.15, "top probability 0.25: never accepted"
    assert found[9] > 0.97, "top probability 1: always"


async def test_without_a_bonus_one_token_more_is_drafted() -> None:
    lengths = {}
    for temperature, bonus in ((0.0, True), (1.0, False)):
        drafter = FakeDrafter(RIGHT)
        await run(
            task(
                law_pb2.MODE_SPECULATIVE,
                drafter,
                FakeExpert(RIGHT, bonus=bonus),
                temperature=temperature,
            )
        )
        lengths[bonus] = drafter.asked[0][1]
    assert lengths[False] == lengths[True] + 1


async def test_the_next_draft_begins_before_the_client_has_the_tokens() -> None:
    drafter = FakeDrafter(RIGHT)
    one = task(
        law_pb2.MODE_SPECULATIVE,
        drafter,
        FakeExpert(RIGHT),
        max_tokens=12,
        block_length=4,
        temperature=1.0,
    )
    rounds = 0
    async for emitted in speculate(one):
        assert emitted
        rounds += 1
        # The last round has none after it.
        assert len(drafter.asked) == min(rounds + 1, 3)
    assert rounds == 3


async def test_a_forgetful_expert_gets_a_replay() -> None:
    made = task(
        law_pb2.MODE_SPECULATIVE, FakeDrafter(WRONG), FakeExpert(RIGHT, forgets=True), temperature=1
    )
    assert await run(made) == RIGHT[3:23]


async def test_an_expert_that_is_always_stale_is_an_error() -> None:
    class Stale(FakeExpert):
        def decide(self, *args: object, **kwargs: object) -> expert_pb2.Verdict:
            return expert_pb2.Verdict(stale=True)

    for ahead in (0, 1):
        made = task(law_pb2.MODE_SPECULATIVE, FakeDrafter(RIGHT), Stale(RIGHT), draft_ahead=ahead)
        with pytest.raises(EngineFailed, match="stale"):
            await run(made)


@pytest.mark.parametrize("block_length", [None, 1, 3, 7])
@pytest.mark.parametrize("mode", [law_pb2.MODE_DRAFTER, law_pb2.MODE_EXPERT])
async def test_one_model_alone(mode: int, block_length: int | None) -> None:
    for answer, expected in ((RIGHT, RIGHT[3:23]), (ENDING, [*range(10, 17), END])):
        made = task(mode, FakeDrafter(answer), FakeExpert(answer), block_length=block_length)
        assert await run(made) == expected
        steps = -(-len(expected) // (block_length or 20))
        assert made.recorder.statistics().rounds == steps


async def test_statistics_of_a_known_course() -> None:
    """Every fourth draft is wrong: blocks of 8 are cut at the first miss."""
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(WRONG),
        FakeExpert(RIGHT),
        max_tokens=12,
        block_length=8,
        temperature=1.0,
    )
    await run(made)
    stats = made.recorder.statistics()
    # Misses at answer positions 0, 4 and 8: blocks of 8, 8 and 7; then 3 right ones.
    assert (stats.rounds, stats.drafted) == (4, 8 + 8 + 7 + 3)
    assert (stats.accepted, stats.reached) == (0 + 3 + 3 + 3, 1 + 4 + 4 + 3)
    assert list(stats.accepted_by_position) == [3, 3, 3]
    assert stats.acceptance_rate == pytest.approx(9 / 12)
    assert stats.draft_efficiency == pytest.approx(9 / 26)
    assert dict(stats.tokens_by_origin) == {"ORIGIN_RESAMPLED": 3, "ORIGIN_ACCEPTED": 9}


def where_it_does_not_pay() -> History:
    """A draft takes far longer than the expert's own token."""
    history = History()
    for _ in range(3):
        history.times.drafted(Draft(50.0, 50.0))
        history.verified(5, Pass(10.0), 50.0)
    return history


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_where_speculation_does_not_pay_the_expert_goes_on_alone(
    ahead: int, temperature: float
) -> None:
    history = where_it_does_not_pay()
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter([7, 8, 9, *[0] * 90]),
        FakeExpert([7, 8, 9, *range(10, 90)], bonus=not temperature),
        max_tokens=70,
        temperature=temperature,
        draft_ahead=ahead,
        history=history,
    )
    assert await run(made) == list(range(10, 80))
    stats = made.recorder.statistics()
    assert stats.tokens_by_origin["ORIGIN_EXPERT"] >= 32
    assert stats.tokens_by_origin["ORIGIN_RESAMPLED"] > 0, "it was tried again"
    assert "does not pay" in stats.alone_reasons[0]
    assert stats.HasField("seed_ended_at") == (temperature > 0)
    assert not stats.seed_ended_at


async def test_a_stretch_that_another_session_ends_is_over_with_the_next_token() -> None:
    history = where_it_does_not_pay()
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter([7, 8, 9, *[0] * 90]),
        FakeExpert([7, 8, 9, *range(10, 90)], bonus=True),
        max_tokens=12,
        history=history,
    )
    ids: list[int] = []
    async for emitted in speculate(made):
        ids += [token.id for token in emitted]
        if emitted[0].origin == expert_pb2.ORIGIN_EXPERT and len(ids) == 3:
            history.load.left = 0.0
    assert ids == list(range(10, 22))
    assert made.recorder.statistics().tokens_by_origin["ORIGIN_EXPERT"] == 4
