"""Acceptance against distance, and against regret: one curve for each rule."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.rules.measure import Curves, Measured

matplotlib.use("Agg")

_MARKERS = "osD^v<>PX*"


def save_plot(curves: Curves, folder: Path) -> Path:
    """Writes ``rules-<pair>-t<T>.png``; gives its path."""
    figure = Figure(figsize=(13.0, 6.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    temperature = curves.setting.temperature
    figure.suptitle(
        f"{curves.pair} at temperature {temperature:g}: {curves.prompts} prompts, "
        f"{curves.tokens} tokens (off-policy)"
    )
    _draw(left, curves, lambda measured: measured.point.distance.mean)
    left.axline(
        (0.0, curves.lossless.point.acceptance),
        slope=1,
        color="black",
        linewidth=0.8,
        linestyle=":",
        label="no rule is above",
    )
    left.set_xlabel("distance TV(pi, p), mean total variation per token")
    left.set_ylabel("acceptance, share of drafted tokens")
    left.legend(loc="lower right")
    _draw(right, curves, lambda measured: measured.regret)
    right.set_xlabel("regret, nats per token below the expert's favourite")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rules-{curves.pair}-t{temperature:g}.png"
    figure.savefig(path, format="png", dpi=120)
    return path


def _draw(axes: Axes, curves: Curves, x: Callable[[Measured], float]) -> None:
    for (name, points), marker in zip(curves.rules.items(), _MARKERS, strict=False):
        # In the order of alpha, not of x: where a rule turns back is seen.
        axes.plot(
            [x(measured) for measured in points],
            [measured.point.acceptance for measured in points],
            marker=marker,
            markersize=4,
            linewidth=1,
            label=name,
        )
    axes.plot(
        [x(curves.lossless)],
        [curves.lossless.point.acceptance],
        "k*",
        markersize=14,
        label="lossless",
        zorder=5,
    )
    axes.grid(alpha=0.3)
