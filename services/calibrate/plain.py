"""A calibration as one JSON object.  What is not known is null."""

from dataclasses import asdict
from typing import Any

from services.calibrate.calibration import Calibration
from services.calibrate.curve import Point
from services.calibrate.estimate import CONFIDENCE, Estimate
from services.serving.law import mode_name


def plain(found: Calibration) -> dict[str, Any]:
    """All of it.  Times are in ms; everything else is a share, a ratio or a count."""
    setting = asdict(found.setting)
    alphas = setting.pop("alphas")
    return {
        "setting": {
            **setting,
            "mode": mode_name(found.setting.mode),
            "alphas": list(alphas),
            **asdict(found.limits),
            "confidence": CONFIDENCE,
        },
        "models": found.models,
        "prompts": found.prompts,
        "tokens": found.tokens,
        "off_policy": True,
        "costs": found.costs
        and {**asdict(found.costs), "c": found.costs.drafter, "o": found.costs.other},
        "lossless": plain_point(found.lossless),
        "alphas": [plain_point(point) for point in found.points],
        "recommendation": found.chosen and plain_point(found.chosen),
        "live": _live(found),
    }


def plain_point(point: Point) -> dict[str, float | None]:
    """One alpha."""
    return {
        "alpha": point.alpha,
        "acceptance": point.acceptance,
        "tokens_per_round": point.tokens_per_round,
        "speed_up": point.speed_up,
        **_estimate("distance", point.distance),
        **_estimate("expert_share", point.expert_share),
        "agreement": point.agreement,
    }


def _live(found: Calibration) -> dict[str, Any] | None:
    live = found.live
    if live is None:
        return None
    return {
        **_estimate("distance", live.distance),
        "within_promise": found.within_promise,
        "acceptance": live.acceptance,
        "tokens_per_round": live.tokens_per_round,
        "decoding_speed_up": live.decoding_speed_up,
        "speed_up": live.speed_up,
        "tokens_per_s": live.tokens_per_s,
        "expert_tokens_per_s": live.expert_tokens_per_s,
    }


def _estimate(name: str, value: Estimate | None) -> dict[str, float | None]:
    return {
        name: None if value is None else value.mean,
        f"{name}_bound": None if value is None else value.bound,
    }
