"""Where drafts stop early, by what top probabilities say of acceptance."""

import random
from collections.abc import Iterator

import pytest

from router.pace import Draft, History, Overlap, Pace, Pass
from router.pace.pace import MAX_LENGTH
from router.pace.top_probs import TopProbs

DRAFT_MS, VERIFY_MS, VERIFIED_MS = 4.0, 30.0, 0.5


def test_acceptance_by_range() -> None:
    """What is not known is taken to be accepted as often as its top probability says."""
    counts = TopProbs()
    assert counts.acceptance() == pytest.approx([0.05 + i / 10 for i in range(10)])
    assert counts.mean() == 0.8
    for _ in range(40):
        counts.verified([1.0, 0.85, 0.31], accepted=2)
    found = counts.acceptance()
    assert found[9] == pytest.approx((40 + 4 * 0.95) / 44)
    assert found[8] == pytest.approx((40 + 4 * 0.85) / 44)
    assert found[3] == pytest.approx(4 * 0.35 / 44)
    assert found[5] == pytest.approx(0.55)
    assert counts.mean() == pytest.approx((80 + 4 * 0.8) / 124)


def test_old_counts_are_forgotten() -> None:
    counts = TopProbs()
    for accepted in (0, 1):
        for _ in range(2000):
            counts.verified([0.95], accepted)
    assert counts.acceptance()[9] > 0.98


class Text:
    """Tokens with a top probability, and whether they are accepted, at random."""

    def __init__(self, seed: int, hard: float, *, telling: bool = True) -> None:
        """``hard``: how many tokens are.  ``telling``: the drafter is unsure of these."""
        self._chance = random.Random(seed)
        self._hard, self._telling = hard, telling

    def __iter__(self) -> Iterator[tuple[float, bool]]:
        while True:
            hard = self._chance.random() < self._hard
            accepted = self._chance.random() < (0.4 if hard else 0.97)
            unsure = hard if self._telling else self._chance.random() < self._hard
            yield 0.45 if unsure else 0.95, accepted


def answer(text: Text, pace: Pace, rounds: int) -> float:
    """Tokens by millisecond of some rounds, with a bonus."""
    times, tokens, ms = pace.history.times, 0, 0.0
    for _ in range(rounds):
        block: list[tuple[float, bool]] = []
        chance = 1.0
        for prob, accepted in text:
            block.append((prob, accepted))
            if pace.acceptance:
                chance *= pace.acceptance[int(10 * prob)]
            if len(block) == pace.length or chance < pace.least_chance:
                break
        n, goods = len(block), [accepted for _, accepted in block]
        count = goods.index(False) if False in goods else n
        tokens += count + 1
        ms += DRAFT_MS * n + VERIFY_MS + VERIFIED_MS * n
        times.drafted(Draft(DRAFT_MS, 0.0))
        times.verified(n, Pass(VERIFY_MS + VERIFIED_MS * n), 0.0)
        pace.verified(count, min(count + 1, n), [prob for prob, _ in block])
    return tokens / ms


def new_pace(history: History, *, stops_early: bool, fixed: int | None = None) -> Pace:
    return Pace(
        history, fixed=fixed, start=5, bonus=True, overlap=Overlap(), stops_early=stops_early
    )


def speeds(seed: int, hard: float, *, telling: bool = True) -> tuple[float, float]:
    """Without and with stopping early, once all is known."""
    found = []
    for stops_early in (False, True):
        text, history = Text(seed, hard, telling=telling), History()
        answer(text, new_pace(history, stops_early=stops_early), 60)
        found.append(answer(text, new_pace(history, stops_early=stops_early), 1500))
    return found[0], found[1]


@pytest.mark.parametrize("seed", range(3))
def test_it_pays_where_the_drafter_knows_what_it_does_not_know(seed: int) -> None:
    fixed, stopping = speeds(seed, hard=0.2)
    assert stopping > 1.1 * fixed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hard", [0.0, 0.2, 0.6])
def test_where_top_probabilities_tell_nothing_it_costs_nothing(seed: int, hard: float) -> None:
    fixed, stopping = speeds(seed, hard, telling=False)
    assert stopping > 0.96 * fixed


def test_easy_text_is_drafted_far_and_a_slow_drafter_stops_early() -> None:
    history = History()
    pace = new_pace(history, stops_early=True)
    assert (pace.length, pace.least_chance, pace.acceptance) == (5, 0, ()), "nothing is known"
    answer(Text(1, 0.2), pace, 100)
    assert pace.length == MAX_LENGTH
    before = pace.least_chance
    assert 0 < before < 0.6
    for _ in range(100):
        history.times.drafted(Draft(4 * DRAFT_MS))
    slow = new_pace(history, stops_early=True)
    assert 1 >= slow.least_chance > 1.5 * before


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.85, 0.95])
@pytest.mark.parametrize("trip", [0.0, 1.0, 40.0])
@pytest.mark.parametrize("ahead", [0, 1])
def test_where_the_drafter_is_always_as_sure_drafts_have_the_best_length(
    rate: float, trip: float, ahead: int
) -> None:
    history = History()
    for _ in range(100):
        history.times.drafted(Draft(DRAFT_MS, trip))
        history.verified(4, Pass(VERIFY_MS), trip)
    history.acceptance.reached = [1e6] * 64
    history.acceptance.accepted = [rate * 1e6] * 64
    for _ in range(100):
        history.top_probs.verified([0.97] * 20, round(20 * rate))
    fixed, stopping = (
        Pace(history, fixed=None, start=5, bonus=False, overlap=Overlap(ahead), stops_early=early)
        for early in (False, True)
    )
    chance, length = 1.0, 0
    while chance >= stopping.least_chance and length < stopping.length:
        chance *= stopping.acceptance[-1]
        length += 1
    assert length == fixed.length
    assert stopping.ahead == fixed.ahead


def test_a_change_of_everything_at_once_is_noticed_at_once() -> None:
    history = History()
    pace = new_pace(history, stops_early=True)
    for _ in range(300):
        pace.verified(5, 5, [0.95] * 5)
    for _ in range(40):
        pace.verified(0, 1, [0.95] * 5)
    assert history.top_probs.acceptance()[9] < 0.3


def test_a_drafter_that_reports_nothing_gets_the_best_length() -> None:
    """One of an earlier version does not stop either."""
    history = History()
    pace = new_pace(history, stops_early=True)
    for _ in range(100):
        history.times.drafted(Draft(DRAFT_MS, 0.0))
        history.verified(pace.length, Pass(VERIFY_MS), 0.0)
        pace.verified(1, 2)
    assert pace.length < 5
    assert (pace.least_chance, pace.acceptance) == (0, ())


def test_blocks_of_a_given_length_stop_nowhere() -> None:
    pace = new_pace(History(), stops_early=False, fixed=7)
    answer(Text(1, 0.2), pace, 100)
    assert (pace.length, pace.least_chance, pace.acceptance) == (7, 0, ())
