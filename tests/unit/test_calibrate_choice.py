"""Bounds over prompts, and the alpha that they recommend."""

import random

import pytest
from scipy import stats

from services.calibrate.choice import choose
from services.calibrate.curve import Point
from services.calibrate.estimate import Estimate, estimate
from services.calibrate.setting import Limits


def test_the_bound_is_students() -> None:
    values = [0.0, 0.0, 0.0, 1.0]
    found = estimate(values)
    assert found.mean == 0.25
    both_sided = stats.t.interval(0.9, 3, loc=0.25, scale=stats.sem(values))
    assert found.bound == pytest.approx(both_sided[1])


def test_one_prompt_has_no_bound_and_equal_ones_have_their_mean() -> None:
    assert estimate([0.5]) == Estimate(0.5, None)
    assert estimate([0.5, 0.5, 0.5]) == Estimate(0.5, 0.5)


def test_no_share_is_above_one() -> None:
    assert estimate([0.9, 1.0, 1.0]).bound == 1.0


def test_the_bound_covers_as_often_as_it_says() -> None:
    """Of 2000 samples of 8 normal values, 95 % have their bound above the true mean.

    The standard deviation of that share is 0.49 %, so four of them are 2 %.
    """
    rng = random.Random(0)
    bounds = [estimate([rng.gauss(0.3, 0.1) for _ in range(8)]).bound for _ in range(2000)]
    covered = sum(bound is not None and bound > 0.3 for bound in bounds) / len(bounds)
    assert covered == pytest.approx(0.95, abs=0.02)


def a_point(alpha: float, distance: float, share: float | None = None) -> Point:
    """Bounds lie 0.01 above the means."""
    return Point(
        alpha=alpha,
        acceptance=0.5,
        tokens_per_round=2.0,
        speed_up=1.5,
        distance=Estimate(distance, distance + 0.01),
        expert_share=None if share is None else Estimate(share, share + 0.01),
        agreement=0.9,
    )


POINTS = [
    a_point(0.0, 0.00, 0.90),
    a_point(0.3, 0.04, 0.60),
    a_point(0.6, 0.09, 0.30),
    a_point(0.9, 0.20, 0.10),
]


@pytest.mark.parametrize(
    ("limits", "alpha"),
    [
        (Limits(max_distance=0.1), 0.6),
        (Limits(max_distance=0.095), 0.3),  # its mean would do, its bound does not
        (Limits(max_distance=1.0), 0.9),
        (Limits(max_distance=0.005), None),
        (Limits(max_expert_share=0.35), 0.6),
        (Limits(max_expert_share=0.3), 0.9),
        (Limits(max_expert_share=1.0), 0.0),
        (Limits(max_expert_share=0.05), None),
        (Limits(max_distance=0.3, max_expert_share=0.7), 0.9),
        (Limits(max_distance=0.1, max_expert_share=0.7), 0.6),
        (Limits(max_distance=0.06, max_expert_share=0.35), None),
    ],
)
def test_what_is_recommended(limits: Limits, alpha: float | None) -> None:
    chosen = choose(POINTS, limits)
    assert (chosen and chosen.alpha) == alpha


def test_a_limit_that_is_reached_is_kept() -> None:
    chosen = choose([a_point(0.5, 0.09)], Limits(max_distance=0.1))
    assert chosen is not None


def test_what_is_not_known_is_not_promised() -> None:
    unbounded = Point(0.5, 0.5, 2.0, None, Estimate(0.0, None), None, 1.0)
    assert choose([unbounded], Limits(max_distance=1.0)) is None
    assert choose([unbounded], Limits(max_expert_share=1.0)) is None
