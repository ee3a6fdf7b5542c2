"""What a thousand tokens cost by mode: bars of the drafter's part and, on it, the expert's."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.cost.demand import Parts, price
from bench.cost.report import Run

matplotlib.use("Agg")

_DRAFTER, _EXPERT = "tab:orange", "tab:blue"


def save_plot(run: Run, folder: Path) -> Path:
    """Writes ``cost.png``; gives its path."""
    figure = Figure(figsize=(12.0, 5.6), layout="constrained")
    figure.suptitle(
        "Device cost of a thousand tokens by mode\n"
        f"drafter {run.prices.drafter:g} and expert {run.prices.expert:g} a device hour; "
        f"{'step times given' if run.times else 'measured on a CPU machine'}"
    )
    left, right = figure.subplots(1, 2, sharey=True)
    nothing = [False] * len(run.modes)
    _draw(left, run, [mode.alone for mode in run.modes], nothing)
    left.set_title("one session at a time")
    left.set_ylabel("cost of 1,000 tokens, in units of the prices")
    _draw(right, run, [mode.at_once for mode in run.modes], [not mode.gain for mode in run.modes])
    right.set_title("several sessions at once")
    handles = [
        Patch(facecolor=_EXPERT, label="expert"),
        Patch(facecolor=_DRAFTER, label="drafter"),
    ]
    if not all(mode.gain for mode in run.modes):
        handles.append(
            Patch(facecolor="white", edgecolor="black", hatch="//", label="gain not measured: 1")
        )
    right.legend(handles=handles, loc="upper left")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cost.png"
    figure.savefig(path, format="png", dpi=120)
    return path


def _draw(axes: Axes, run: Run, amounts: list[Parts], hatched: list[bool]) -> None:
    costs = [price(amount, run.prices) for amount in amounts]
    places = range(len(costs))
    hatches = ["//" if hatch else "" for hatch in hatched]
    drafter, expert = [c.drafter for c in costs], [c.expert for c in costs]
    axes.bar(places, drafter, color=_DRAFTER, edgecolor="black", linewidth=0.6, hatch=hatches)
    axes.bar(
        places,
        expert,
        bottom=drafter,
        color=_EXPERT,
        edgecolor="black",
        linewidth=0.6,
        hatch=hatches,
    )
    for place, cost in zip(places, costs, strict=True):
        axes.text(place, cost.total, f"{cost.total:#.3g}", ha="center", va="bottom")
    labels = [mode.label.replace(", ", "\n").replace(" + ", "\n") for mode in run.modes]
    axes.set_xticks(list(places), labels)
    axes.set_xlabel("mode")
    axes.margins(y=0.12)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
