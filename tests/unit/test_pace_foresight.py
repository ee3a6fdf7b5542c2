"""What is learned of alternatives."""

import pytest

from router.pace.foresight import Foresight

RANKS = 8


def test_rates_come_to_what_is_seen() -> None:
    foresight = Foresight()
    for i in range(1000):
        foresight.rejected((0, 1, None, 0)[i % 4], 2)
    assert foresight.rates(2) == pytest.approx([0.5, 0.25], abs=0.02)


def test_old_rejections_are_forgotten() -> None:
    foresight = Foresight()
    for rank in (None, 0):
        for _ in range(1000):
            foresight.rejected(rank, 1)
    assert foresight.rates(1)[0] > 0.95


def test_nothing_is_learned_of_ranks_that_were_not_known() -> None:
    foresight = Foresight()
    before = foresight.rates(RANKS)
    for i in range(300):
        foresight.rejected(None if i % 2 else 0, 2)
    assert foresight.rates(RANKS)[2:] == before[2:]
    assert foresight.rates(2)[1] < before[1] / 4
