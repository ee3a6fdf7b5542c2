"""Pass@1 over speed, and over calls of the expert."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.quality.report import Run
from bench.quality.summary import Summary
from bench.quality.systems import System

matplotlib.use("Agg")

_MARKERS = "osD^v<>PX*dph8"


def save_plot(run: Run, folder: Path) -> Path:
    """Writes ``quality-<pair>.png``; gives its path."""
    figure = Figure(figsize=(13.0, 6.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    drafter, expert = run.models
    figure.suptitle(
        f"HumanEval pass@1 against speed and against expert calls: {len(run.problems)} problems, "
        f"greedy\ndrafter {drafter} ({run.kept_in[0]}), expert {expert} ({run.kept_in[1]}); bars: "
        "95 % intervals (Wilson)"
    )
    _draw(left, run, lambda summary: summary.tokens_per_s)
    left.set_xlabel("speed, tokens per second, one stream")
    left.set_ylabel("pass@1, share of problems solved")
    left.set_ylim(0.0, 1.0)
    _draw(right, run, lambda summary: summary.calls_per_token)
    right.set_xlabel("expert calls, passes per generated token")
    right.legend(loc="lower right", fontsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"quality-{run.pair}.png"
    figure.savefig(path, format="png", dpi=120)
    return path


def _draw(axes: Axes, run: Run, x: Callable[[Summary], float]) -> None:
    families: dict[str, list[tuple[System, Summary]]] = {}
    for system, summary in run.summaries.items():
        families.setdefault(system.family, []).append((system, summary))
    for (family, points), marker in zip(families.items(), _cycled(len(families)), strict=True):
        shares = [summary.pass_at_1 for _, summary in points]
        axes.errorbar(
            [x(summary) for _, summary in points],
            shares,
            yerr=[
                [s.pass_at_1 - s.interval.low for _, s in points],
                [s.interval.high - s.pass_at_1 for _, s in points],
            ],
            marker=marker,
            markersize=7,
            linewidth=1,
            elinewidth=0.8,
            capsize=3,
            label=family,
        )
        for system, summary in points:
            if system.alpha is not None:
                axes.annotate(
                    f"{system.alpha:g}",
                    (x(summary), summary.pass_at_1),
                    xytext=(5, 5),
                    textcoords="offset points",
                    fontsize=8,
                )
    axes.set_xlim(left=0.0 - 0.03 * max(map(x, run.summaries.values())))
    axes.grid(alpha=0.3)


def _cycled(number: int) -> list[str]:
    return [_MARKERS[i % len(_MARKERS)] for i in range(number)]
