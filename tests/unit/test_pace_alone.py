"""When the expert goes on alone: over many simulated sessions, by their own clock."""

import random
from itertools import pairwise

import pytest

from router.pace import Draft, History, Overlap, Pace, Pass
from router.pace.load import LEAST_STRETCH, Load
from router.pace.mean import Mean
from router.pace.times import Times

DRAFT_MS, PASS_MS = 4.0, 30.0
TOKENS = 512


def a_pace(history: History, *, stops_early: bool) -> Pace:
    """One that may let the expert go alone."""
    return Pace(
        history,
        fixed=None,
        start=6,
        bonus=False,
        overlap=Overlap(),
        stops_early=stops_early,
        may_go_alone=True,
    )


def session(
    history: History,
    chance: random.Random,
    acceptance: float,
    trip_ms: float,
    stops_early: bool = False,
) -> tuple[float, int]:
    """An answer's milliseconds, and how many of its tokens the expert decoded alone.

    The drafter is always sure, of whatever it drafts.
    """
    pace = a_pace(history, stops_early=stops_early)
    pace.begin()
    ms, done, alone = 0.0, 0, 0
    while done < TOKENS:
        if pace.alone:
            count = min(pace.alone, TOKENS - done)
            pace.decoded_alone(count, PASS_MS * count, Pass(PASS_MS))
            ms, done, alone = ms + PASS_MS * count, done + count, alone + count
            continue
        n = 1
        while n < pace.length and not stops(pace, n):
            n += 1
        accepted = next((j for j in range(n) if chance.random() >= acceptance), n)
        times = history.times
        times.drafted(Draft(DRAFT_MS, trip_ms))
        times.verified(n, Pass(PASS_MS), trip_ms)
        pace.verified(accepted, min(accepted + 1, n), [1.0] * n)
        ms += DRAFT_MS * n + PASS_MS + 2 * trip_ms
        done += min(accepted + 1, n)
    pace.end()
    return ms * TOKENS / done, alone


def stops(pace: Pace, length: int) -> bool:
    """Whether a draft of so many tokens ends by itself."""
    return bool(pace.acceptance) and pace.acceptance[-1] ** length < pace.least_chance


ALONE_MS = PASS_MS * TOKENS


@pytest.mark.parametrize("stops_early", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_a_bad_drafter_costs_the_second_session_at_most_three_percent(
    seed: int, stops_early: bool
) -> None:
    history, chance = History(), random.Random(seed)
    session(history, chance, 0.2, 10.0, stops_early)
    ms, alone = session(history, chance, 0.2, 10.0, stops_early)
    assert alone > 0.9 * TOKENS
    assert ALONE_MS / ms >= 0.97


@pytest.mark.parametrize("stops_early", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_when_acceptance_recovers_it_speculates_again(seed: int, stops_early: bool) -> None:
    history, chance = History(), random.Random(seed)
    for _ in range(3):
        session(history, chance, 0.2, 10.0, stops_early)
    found = [session(history, chance, 0.9, 10.0, stops_early) for _ in range(8)]
    assert sum(alone for _, alone in found) < 4 * TOKENS
    assert found[-1][1] == 0
    assert ALONE_MS / found[-1][0] > 1.3


@pytest.mark.parametrize("stops_early", [False, True])
def test_what_pays_a_little_is_not_mistaken(stops_early: bool) -> None:
    """An acceptance of 0.6 at a round trip of 5 ms makes 1.13 times the expert's tokens."""
    history, chance = History(), random.Random(1)
    mistaken = sum(session(history, chance, 0.6, 5.0, stops_early)[1] > 0 for _ in range(50))
    assert mistaken <= 1


@pytest.mark.parametrize("stops_early", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_no_first_session_that_pays_is_mistaken(seed: int, stops_early: bool) -> None:
    """Nothing is known before, and the first rounds are few."""
    _, alone = session(History(), random.Random(seed), 0.75, 5.0, stops_early)
    assert alone == 0


def test_who_may_not_go_alone_does_not() -> None:
    history, chance = History(), random.Random(2)
    session(history, chance, 0.05, 40.0)
    pace = Pace(history, fixed=None, start=6, bonus=False, overlap=Overlap())
    for _ in range(100):
        pace.verified(0, 1)
    assert (pace.alone, pace.length) == (0, 1)


def test_after_each_trial_that_fails_the_next_stretch_is_four_times_as_long() -> None:
    history, chance = History(), random.Random(3)
    session(history, chance, 0.1, 10.0)
    pace = Pace(history, fixed=None, start=6, bonus=False, overlap=Overlap(), may_go_alone=True)
    assert "does not pay" in history.load.reason
    other = Pace(history, fixed=None, start=6, bonus=False, overlap=Overlap(), may_go_alone=True)
    assert other.alone == pace.alone, "one stretch for all sessions"
    pace.begin()
    stretches: list[int] = []
    while len(stretches) < 4:
        stretches.append(pace.alone)
        pace.decoded_alone(pace.alone, PASS_MS * pace.alone, Pass(PASS_MS))
        while not pace.alone:
            pace.verified(0, 1)
    assert all(b == min(4 * a, stretches[-1]) for a, b in pairwise(stretches))
    assert stretches[0] > 32


def test_a_trial_drafts_whole_blocks() -> None:
    """What is expected of a bad drafter would end its drafts at once, and nothing be learned."""
    history, chance = History(), random.Random(5)
    session(history, chance, 0.1, 10.0, stops_early=True)
    pace = a_pace(history, stops_early=True)
    assert pace.least_chance > 0
    pace.begin()
    pace.decoded_alone(pace.alone, PASS_MS * pace.alone, Pass(PASS_MS))
    assert (pace.alone, pace.length, pace.least_chance) == (0, 4, 0)


def test_a_trial_that_costs_next_to_nothing_is_still_a_trial() -> None:
    """However slow the expert was alone, the next stretch is longer: that tells a trial apart."""
    history, chance = History(), random.Random(4)
    session(history, chance, 0.1, 10.0)
    pace = Pace(history, fixed=None, start=6, bonus=False, overlap=Overlap(), may_go_alone=True)
    pace.begin()
    history.load.stretch = LEAST_STRETCH
    history.times.slower = Mean(1e6)
    pace.decoded_alone(pace.alone, 1e6 * PASS_MS * pace.alone, Pass(PASS_MS))
    assert history.load.stretch == 2 * LEAST_STRETCH
    assert pace.alone == 0


def test_one_token_that_stalls_says_little() -> None:
    times = Times()
    for _ in range(20):
        times.decoded(Pass(PASS_MS), PASS_MS)
    before = times.alone_ms
    times.decoded(Pass(PASS_MS), 100 * PASS_MS)
    assert times.alone_ms <= 1.11 * before


def test_a_round_that_is_no_measure_still_counts_towards_the_next_trial() -> None:
    load = Load()
    assert load.begin_trial()
    load.speculated(5, 100.0, 1)
    speed = load.speed
    for _ in range(100):
        load.speculated(4, None, 1)
    assert load.speed == speed
    assert load.begin_trial(), "after 400 tokens"


def test_the_longest_block_of_a_request_can_be_chosen_for() -> None:
    history, chance = History(), random.Random(1)
    session(history, chance, 0.9, 10.0)
    for bonus in (False, True):
        pace = Pace(
            history, fixed=64, start=6, bonus=bonus, overlap=Overlap(1, 1), may_go_alone=True
        )
        pace.verified(64, 64, [1.0] * 64)
        assert pace.length == 64


def test_a_trial_drafts_nothing_ahead() -> None:
    """What it drops would be drafted once more before the expert goes on."""
    history = History()
    session(history, random.Random(0), 0.9, 10.0)
    pace = Pace(
        history,
        fixed=None,
        start=6,
        bonus=False,
        overlap=Overlap(1),
        stops_early=False,
        may_go_alone=True,
    )
    pace.begin()
    history.load.left = 4.0
    assert pace.alone == 4
    pace.decoded_alone(4, PASS_MS * 4, Pass(PASS_MS))
    assert not pace.alone
    assert pace.ahead == 0
    for _ in range(2):
        pace.verified(4, 4)
    assert pace.ahead == 1, "it pays"
