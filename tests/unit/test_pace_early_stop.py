"""Where drafts stop early: what is expected of a threshold, and which one is chosen."""

import random
from itertools import product

import pytest

from router.pace import History, Overlap, Pace
from router.pace.expected import expected
from router.pace.top_probs import THRESHOLDS, Split, TopProbs

DRAFT_MS, VERIFY_MS = 4.0, 30.0


def test_what_is_expected_is_what_all_outcomes_come_to() -> None:
    """Each token is below the threshold or not, and accepted or not, independently."""
    below, rate_below, rate_above = 0.3, 0.4, 0.95
    rate = below * rate_below + (1 - below) * rate_above
    split = Split(0.5, below, below, rate_below / rate, rate_above / rate)
    for n, found in enumerate(expected([rate] * 5, split), 1):
        drafted = decided = rejected = whole = 0.0
        for outcome in product(product((True, False), repeat=2), repeat=n):
            chance = 1.0
            for low, good in outcome:
                of_good = rate_below if low else rate_above
                chance *= (below if low else 1 - below) * (of_good if good else 1 - of_good)
            length = next((j for j, (low, _) in enumerate(outcome, 1) if low), n)
            goods = [good for _, good in outcome[:length]]
            drafted += chance * length
            decided += chance * (length if all(goods) else goods.index(False) + 1)
            rejected += chance * (length == n and all(goods[:-1]) and not goods[-1])
            whole += chance * all(goods)
        assert found == pytest.approx((drafted, decided, rejected, whole))


def test_without_a_threshold_nothing_stops() -> None:
    *_, last = expected([0.5, 0.8], Split())
    assert last == pytest.approx((2, 1 + 0.5, 0.5 * 0.2, 0.4))


def test_counts_on_both_sides_of_each_threshold() -> None:
    counts = TopProbs()
    assert not list(counts.splits())
    for _ in range(50):
        counts.verified([0.95, 0.85, 0.35, 0.2], accepted=2, reached=3)
    splits = {split.threshold: split for split in counts.splits()}
    assert list(splits) == list(THRESHOLDS)
    low = splits[0.3]
    assert (low.drafted_below, low.below) == (0.25, 0)
    assert (low.lift_below, low.lift_above) == pytest.approx((1, 1))
    middle = splits[0.5]
    assert (middle.drafted_below, middle.below) == pytest.approx((1 / 2, 1 / 3))
    assert middle.lift_below < 0.1
    assert middle.lift_above == pytest.approx(1.5, rel=0.02)
    assert splits[0.9].below == pytest.approx(2 / 3)


def test_old_counts_are_forgotten() -> None:
    counts = TopProbs()
    for prob in (0.2, 0.95):
        for _ in range(2000):
            counts.verified([prob], accepted=1, reached=1)
    assert next(counts.splits()).drafted_below < 0.02


class Text:
    """Tokens with a top probability and whether they are accepted, at random."""

    def __init__(self, seed: int, *, telling: bool) -> None:
        self._chance = random.Random(seed)
        self._telling = telling

    def token(self) -> tuple[float, bool]:
        hard = self._chance.random() < 0.25
        accepted = self._chance.random() < (0.4 if hard else 0.97)
        unsure = hard if self._telling else self._chance.random() < 0.25
        return (0.45 if unsure else 0.95), accepted


def answer(text: Text, pace: Pace, rounds: int) -> float:
    """Tokens by millisecond of some rounds, with a bonus."""
    times, tokens, ms = pace.history.times, 0, 0.0
    for _ in range(rounds):
        block: list[tuple[float, bool]] = []
        while len(block) < pace.length:
            block.append(text.token())
            if block[-1][0] < pace.early_stop:
                break
        goods = [accepted for _, accepted in block]
        accepted = goods.index(False) if False in goods else len(goods)
        tokens += accepted + 1
        ms += DRAFT_MS * len(block) + VERIFY_MS
        times.draft.add(DRAFT_MS)
        times.draft_trip.add(0.0)
        times.verify.add(len(block), VERIFY_MS)
        times.verify_trip.add(0.0)
        pace.verified(accepted, min(accepted + 1, len(block)), [prob for prob, _ in block])
    return tokens / ms


def new_pace(history: History, early_stop: float | None, fixed: int | None = None) -> Pace:
    return Pace(history, fixed=fixed, start=5, bonus=True, overlap=Overlap(), early_stop=early_stop)


@pytest.mark.parametrize("seed", range(3))
def test_unsure_tokens_end_drafts_where_they_are_seldom_accepted(seed: int) -> None:
    history, text = History(), Text(seed, telling=True)
    pace = new_pace(history, None)
    assert pace.early_stop == 0, "nothing is known"
    answer(text, pace, 100)
    assert 0.45 < pace.early_stop <= 0.95
    assert new_pace(history, None).early_stop == pace.early_stop, "the next session knows"
    whole = new_pace(History(), 0.0)
    answer(Text(seed, telling=True), whole, 100)
    assert answer(text, pace, 1000) > 1.1 * answer(text, whole, 1000)


@pytest.mark.parametrize("seed", range(3))
def test_where_top_probabilities_tell_nothing_drafts_go_on(seed: int) -> None:
    pace, text = new_pace(History(), None), Text(seed, telling=False)
    stopped = 0
    for _ in range(100):
        answer(text, pace, 8)
        stopped += pace.early_stop > 0
    assert stopped <= 10


def test_what_the_request_says_is_kept() -> None:
    for early_stop in (0.0, 0.3):
        pace = new_pace(History(), early_stop)
        answer(Text(1, telling=True), pace, 100)
        assert pace.early_stop == early_stop
    fixed = new_pace(History(), None, fixed=12)
    answer(Text(1, telling=True), fixed, 100)
    assert fixed.length == 12
    assert fixed.early_stop > 0.45
