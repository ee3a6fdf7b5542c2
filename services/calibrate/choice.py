"""Which alpha to recommend."""

from collections.abc import Sequence

from services.calibrate.curve import Point
from services.calibrate.setting import Limits


def choose(points: Sequence[Point], limits: Limits) -> Point | None:
    """The alpha that keeps to the limits with 95 % confidence.

    What is held against a limit is not a mean, but its upper bound.  With a limit of the distance
    it is the largest alpha that satisfies all limits: it trusts the drafter most.  With one of the
    expert's share alone it is the smallest: the nearest to the expert.

    Args:
        points: one of each alpha, of two prompts or more.
        limits: at least one.

    Returns:
        The point; None: no alpha satisfies the limits.
    """
    fitting = [point for point in points if fits(point, limits)]
    if not fitting:
        return None
    largest = limits.max_distance is not None
    return (max if largest else min)(fitting, key=lambda point: point.alpha)


def fits(point: Point, limits: Limits) -> bool:
    """Whether the bounds of a point satisfy the limits."""
    far = limits.max_distance is not None and _above(point.distance.bound, limits.max_distance)
    share = point.expert_share
    asks = limits.max_expert_share is not None and (
        share is None or _above(share.bound, limits.max_expert_share)
    )
    return not (far or asks)


def _above(bound: float | None, limit: float) -> bool:
    """Whether a bound is unknown, or above a limit by more than rounding."""
    return bound is None or bound > limit + 1e-9
