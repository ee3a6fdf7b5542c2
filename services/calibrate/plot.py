"""Acceptance and distance over alpha, as a picture."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.calibrate.calibration import Calibration
from services.calibrate.grids import IN_NATS

matplotlib.use("Agg")

_NAT_TICKS = (0.0, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)


def save_plot(found: Calibration, path: Path) -> None:
    """Draws two panels above each other, and writes them as PNG.

    Raises:
        OSError: the file can't be written.
    """
    figure = Figure(figsize=(7.5, 7.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    setting = found.setting
    figure.suptitle(
        f"{setting.rule} at temperature {setting.temperature:g}, {found.prompts} prompts, "
        f"{found.tokens} tokens (off-policy)"
    )
    _acceptance(above, found)
    _distance(below, found)
    nats = setting.rule in IN_NATS
    below.set_xlabel("alpha (nats)" if nats else "alpha")
    if nats:
        # Logarithmic, but for a linear part that 0 has a place in.
        below.set_xscale("symlog", linthresh=0.1)
        below.set_xticks(_NAT_TICKS, [f"{tick:g}" for tick in _NAT_TICKS], minor=False)
        below.set_xticks([], minor=True)
        below.set_xlim(-0.02, 1.2 * max(*setting.alphas, 0.1))
    for axes in (above, below):
        if found.chosen is not None:
            axes.axvline(found.chosen.alpha, color="tab:green", linestyle=":", label="recommended")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, format="png", dpi=150)


def _acceptance(axes: Axes, found: Calibration) -> None:
    alphas = [point.alpha for point in found.points]
    axes.plot(alphas, [point.acceptance for point in found.points], "o-", label="acceptance")
    axes.axhline(
        found.lossless.acceptance, color="tab:gray", linestyle="--", label="acceptance, lossless"
    )
    shares = [point.expert_share.mean for point in found.points if point.expert_share is not None]
    if shares:
        axes.plot(alphas, shares, "s-", markersize=4, label="expert share")
    axes.plot(
        alphas,
        [point.agreement for point in found.points],
        "^-",
        markersize=4,
        label="agreement with the expert's greedy answer",
    )
    axes.set_ylabel("share of tokens")
    axes.set_ylim(-0.03, 1.03)


def _distance(axes: Axes, found: Calibration) -> None:
    alphas = [point.alpha for point in found.points]
    means = [point.distance.mean for point in found.points]
    axes.plot(alphas, means, "o-", color="tab:red", label="distance, mean over prompts")
    bounds = [point.distance.bound for point in found.points if point.distance.bound is not None]
    if bounds:
        axes.plot(alphas, bounds, "--", color="tab:red", label="its upper bound, 95 %")
        axes.fill_between(alphas, means, bounds, color="tab:red", alpha=0.15)
    if found.limits.max_distance is not None:
        axes.axhline(found.limits.max_distance, color="black", linewidth=1, label="limit")
    if found.live is not None and found.chosen is not None:
        axes.plot(
            [found.chosen.alpha],
            [found.live.distance.mean],
            "*",
            color="tab:green",
            markersize=12,
            label="measured live",
        )
    axes.set_ylabel("distance TV(pi, p), total variation per token")
    axes.set_ylim(bottom=0)
