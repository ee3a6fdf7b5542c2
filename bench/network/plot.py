"""Tokens a second by acceptance: a panel for each round trip."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.network.predicted import Overlap, Point, rate
from bench.network.report import Run

matplotlib.use("Agg")

_COLOURS = ("tab:blue", "tab:orange", "tab:green")
_CURVE = [0.5 + 0.01 * i for i in range(48)]


def save_plot(run: Run, folder: Path) -> Path:
    """Writes ``network.png``; gives its path."""
    trips = list(dict.fromkeys(trip for trip, _ in run.alone))
    figure = Figure(figsize=(3.6 * len(trips) + 1, 4.8), layout="constrained")
    figure.suptitle(
        "Overlap over a network, the best fixed block length at each point\n"
        f"simulated: drafter {run.times.draft_ms:g} ms a token, expert {run.times.pass_ms:g} ms a "
        "pass"
    )
    lengths = sorted({m.point.block_length for m in run.measured})
    panels = figure.subplots(1, len(trips), sharey=True, squeeze=False)[0]
    for axes, trip in zip(panels, trips, strict=True):
        places = [place for place in run.alone if place[0] == trip]
        for overlap, colour in zip(run.overlaps, _COLOURS, strict=False):
            axes.plot(
                _CURVE,
                [_best(run, trip, a, overlap, lengths) for a in _CURVE],
                color=colour,
                linewidth=1,
                label=f"{overlap}, predicted",
            )
            axes.plot(
                [a for _, a in places],
                [run.best(place, overlap).rate for place in places],
                "o",
                color=colour,
                label=f"{overlap}, measured",
            )
        axes.plot(
            [a for _, a in places],
            [run.alone[place] for place in places],
            "k--",
            linewidth=1,
            label="expert alone, measured",
        )
        axes.set_title(f"round trip {trip:g} ms")
        axes.set_xlabel("acceptance, per position")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("tokens per second, one session")
    panels[0].set_ylim(bottom=0)
    panels[0].legend(loc="upper left", fontsize=8)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.png"
    figure.savefig(path, format="png", dpi=120)
    return path


def _best(run: Run, trip: float, acceptance: float, overlap: Overlap, lengths: list[int]) -> float:
    points = [Point(acceptance, trip, n, overlap) for n in lengths]
    return max(rate(run.times, point, run.foreseen) for point in points)
