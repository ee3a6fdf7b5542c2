"""The G-test sees what it must see and is silent where it must be."""

import numpy as np
import pytest
from scipy.stats import kstest

from tests.laws.gtest import ALARM, LEAST, Array, p_value, pooled

DRAWS = 1_000_000


def random_law(rng: np.random.Generator, cells: int) -> Array:
    weights = np.exp(rng.normal(0, 1.5, cells))
    return np.asarray(weights / weights.sum(), np.float64)


def shifted(law: Array, distance: float, rng: np.random.Generator) -> Array:
    """A law at this total variation from ``law``: mass moved between random halves of the cells."""
    order = rng.permutation(len(law))
    giving, taking = order[: len(law) // 2], order[len(law) // 2 :]
    moved = law.copy()
    moved[giving] *= 1 - distance / law[giving].sum()
    moved[taking] *= 1 + distance / law[taking].sum()
    return moved


@pytest.mark.parametrize("cells", [6, 36, 216])
@pytest.mark.parametrize("seed", range(10))
def test_a_distance_of_one_per_cent_alarms(cells: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = random_law(rng, cells)
    counts = rng.multinomial(DRAWS, shifted(law, 0.01, rng))
    assert p_value(counts, law) < ALARM


@pytest.mark.parametrize(("cells", "draws"), [(6, DRAWS), (216, DRAWS), (5000, DRAWS), (800, 2000)])
def test_the_true_law_gives_uniform_p_values(cells: int, draws: int) -> None:
    rng = np.random.default_rng(cells)
    law = random_law(rng, cells)
    values = [p_value(rng.multinomial(draws, law), law) for _ in range(300)]
    assert min(values) > ALARM
    assert kstest(values, "uniform").pvalue > 1e-4


def test_an_impossible_cell_alarms() -> None:
    assert p_value([500, 499, 1], [0.5, 0.5, 0]) == 0


def test_no_cell_is_left_expected_below_the_least() -> None:
    rng = np.random.default_rng(3)
    for cells in (1, 2, 5, 50, 500):
        for n in (1, 30, 100, 3000):
            expected = random_law(rng, cells) * n
            counts, kept = pooled(rng.multinomial(n, expected / n).astype(np.float64), expected)
            assert counts.sum() == n
            assert kept.sum() == pytest.approx(n)
            assert len(kept) == 1 or kept.min() >= LEAST


def test_a_law_that_does_not_sum_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="must sum to 1"):
        p_value([1, 2], [0.5, 0.4])
