"""Pass@1 over speed, and over calls of the expert."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.quality.report import Run
from bench.quality.summary import Summary
from bench.quality.systems import System

matplotlib.use("Agg")

_MARKERS = "osD^v<>PX*dph8"
_LABELLED = 5
"""Families up to which each point is labelled with its alpha; more would cover each other."""


def save_plot(run: Run, folder: Path) -> Path:
    """Writes ``quality-<pair>.png``; gives its path."""
    figure = Figure(figsize=(13.0, 6.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    drafter, expert = run.models
    figure.suptitle(
        f"HumanEval pass@1 against speed and against expert calls, problems: {len(run.problems)}, "
        f"greedy\ndrafter {drafter} ({run.kept_in[0]}), expert {expert} ({run.kept_in[1]}); bars: "
        "95 % intervals (Wilson)"
    )
    _draw(left, run, lambda summary: summary.tokens_per_s)
    left.set_xlabel(f"speed, tokens per second, {run.streams}")
    left.set_ylabel("pass@1, share of problems solved")
    left.set_ylim(-0.04, 1.06)
    _draw(right, run, lambda summary: summary.calls_per_token)
    right.set_xlabel("expert calls, passes per generated token")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"quality-{run.pair}.png"
    figure.savefig(path, format="png", dpi=120)
    return path


def _draw(axes: Axes, run: Run, x: Callable[[Summary], float]) -> None:
    families: dict[str, list[tuple[System, Summary]]] = {}
    for system, summary in run.summaries.items():
        families.setdefault(system.family, []).append((system, summary))
    for number, (family, points) in enumerate(families.items()):
        axes.errorbar(
            [x(summary) for _, summary in points],
            [summary.pass_at_1 for _, summary in points],
            yerr=[
                [s.pass_at_1 - s.interval.low for _, s in points],
                [s.interval.high - s.pass_at_1 for _, s in points],
            ],
            marker=_MARKERS[number % len(_MARKERS)],
            color=_colour(number),
            markersize=7,
            linewidth=1,
            elinewidth=0.6,
            capsize=3,
            label=f"{family}, by alpha" if len(points) > 1 else points[0][0].name,
        )
        if len(families) <= _LABELLED:
            _label(axes, points, x)
    axes.margins(x=0.06)
    axes.grid(alpha=0.3)


def _label(
    axes: Axes, points: Sequence[tuple[System, Summary]], x: Callable[[Summary], float]
) -> None:
    """Alphas beside the points, above and below in turn: neighbours may lie close together."""
    for number, (system, summary) in enumerate(points):
        if system.alpha is not None:
            axes.annotate(
                f"{system.alpha:g}",
                (x(summary), summary.pass_at_1),
                xytext=(5, 6 if number % 2 else -13),
                textcoords="offset points",
                fontsize=8,
            )


def _colour(number: int) -> tuple[float, ...]:
    """Of twenty, the strong ten first."""
    place = number % 20
    return tuple(matplotlib.colormaps["tab20"](2 * place if place < 10 else 2 * place - 19))
