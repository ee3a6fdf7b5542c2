"""Calibrations made up for tests of what is told of them."""

from dataclasses import replace

from services.calibrate.calibration import Calibration
from services.calibrate.costs import Costs
from services.calibrate.curve import Point
from services.calibrate.estimate import Estimate
from services.calibrate.live import Live
from services.calibrate.setting import Limits, Setting

LIVE = Live(
    distance=Estimate(0.0312, 0.0444),
    acceptance=0.71,
    tokens_per_round=2.9,
    tokens_per_s=30.0,
    expert_tokens_per_s=20.0,
    decoding_speed_up=1.75,
)


def a_point(alpha: float, *, shared: bool = True) -> Point:
    """The more alpha, the more of everything but the expert's share."""
    return Point(
        alpha=alpha,
        acceptance=0.5 + alpha / 2,
        tokens_per_round=2 + alpha,
        speed_up=1 + alpha,
        distance=Estimate(alpha / 10, alpha / 10 + 0.01),
        expert_share=Estimate(1 - alpha, 1 - alpha) if shared else None,
        agreement=1 - alpha / 2,
    )


def a_calibration() -> Calibration:
    """Of TokenV3, with the middle alpha recommended and run."""
    points = [a_point(0.0), a_point(0.5), a_point(1.0)]
    return Calibration(
        setting=Setting(alphas=(0.0, 0.5, 1.0), temperature=1.0, top_k=7),
        limits=Limits(max_distance=0.07),
        models={"drafter": "a/small (float32 cpu)", "expert": "a/large (float32 cpu)"},
        prompts=6,
        tokens=321,
        costs=Costs(drafter_step_ms=2, expert_step_ms=20, round_ms=40, block_length=5),
        lossless=a_point(0.0, shared=False),
        points=points,
        chosen=points[1],
        live=LIVE,
    )


def without_choice() -> Calibration:
    """The same, where no alpha satisfies the limits."""
    limits = Limits(max_distance=0.001, max_expert_share=0.2)
    return replace(a_calibration(), limits=limits, chosen=None, live=None)
