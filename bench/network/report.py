"""The report of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.network.measure import Chosen, Measured
from bench.network.predicted import Overlap, Times, rate, round_ms

WANTED_WITHIN = 0.07
WANTED_OF_BEST, WANTED_OF_ALONE = 0.95, 0.97
Place = tuple[float, float]
"""A round trip, ms, and an acceptance."""


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    times: Times
    foreseen: float
    """The chance that a rejected token is the drafter's next-best."""
    seconds: float
    """That an answer takes, about; where the router chooses it takes twice as long."""
    repeats: int
    bare_trips: Mapping[Place, float]
    """The round trip of bare streams, ms."""
    alone: Mapping[Place, float]
    """Tokens a second of the expert alone."""
    chosen: Mapping[tuple[Place, Overlap], Chosen]
    """The router's choice beside the best fixed block."""
    measured: Sequence[Measured]

    def at(self, place: Place, overlap: Overlap) -> list[Measured]:
        """Every block length at a place."""
        return [
            m
            for m in self.measured
            if (m.point.round_trip_ms, m.point.acceptance) == place and m.point.overlap == overlap
        ]

    def best(self, place: Place, overlap: Overlap) -> Measured:
        """The fastest block length at a place."""
        return max(self.at(place, overlap), key=lambda m: m.rate)

    @property
    def over_ms(self) -> list[float]:
        """What rounds without overlap take beyond the prediction, ms, ascending."""
        return sorted(
            round_ms(self.times, m.point, ready=0.0) * (1 / m.of_predicted - 1)
            for m in self.measured
            if not m.point.overlap.ahead
        )

    @property
    def overlaps(self) -> list[Overlap]:
        """Those that were measured."""
        return sorted({m.point.overlap for m in self.measured})


def to_markdown(run: Run, picture: str) -> str:
    """The report for people."""
    return document(
        "# The network",
        bullets(
            [
                *run.machine.lines(),
                f"Simulated models: {run.times.draft_ms:g} ms for each drafted token, "
                f"{run.times.pass_ms:g} ms for each pass of the expert; real services, with a "
                "relay before each that holds bytes up until an echo over it takes the round trip "
                "longer than without (0: no relay)",
                "One session, lossless at temperature 1, answers of as many tokens as should take "
                f"{run.seconds:g} s, and twice that where the router chooses; medians over "
                f"{run.repeats}; tokens a second from the end of the first round to the last",
                "Predicted: `bench/network/predicted.py`, for the blocks as they were accepted",
                *_over(run.over_ms),
                *_within(run.measured),
                *_chosen(run),
                "*Over bare*: predicted with the round trip that bare streams take over the same "
                "relays, with messages of the same sizes and peers that wait as long as the models "
                f"and do nothing else: {_trips(run.bare_trips)}",
            ]
        ),
        f"![Tokens a second by acceptance, a panel for each round trip]({picture})",
        "## The best fixed block length",
        _best_table(run),
        "## The router's choice",
        "The router chooses the block length as it runs, and may let the expert go on alone; a "
        "first answer at each place is left out. In turn with it the fixed block that was the best "
        "above, for the same answers, token by token.",
        _chosen_table(run),
        "## Every point",
        _point_table(run),
    )


def _over(over_ms: Sequence[float]) -> list[str]:
    if not over_ms:
        return []
    return [
        f"Without overlap a round takes {median(over_ms):.1f} ms more than predicted "
        f"({over_ms[0]:.1f} to {over_ms[-1]:.1f}): messages, services, router, timers"
    ]


def _within(measured: Sequence[Measured]) -> list[str]:
    """How many points are as they should be."""
    least = 1 - WANTED_WITHIN
    predicted = sum(m.of_predicted >= least for m in measured)
    over_bare = sum(m.of_predicted_over_bare >= least for m in measured)
    return [
        f"Of {len(measured)} points {predicted} come within {WANTED_WITHIN:.0%} of what is "
        f"predicted, or do better; over bare streams {over_bare}"
    ]


def _chosen(run: Run) -> list[str]:
    """At how many places the router chooses as it should."""
    of_best = [chosen.of_fixed for chosen in run.chosen.values()]
    of_alone = [chosen.rate / run.alone[place] for (place, _), chosen in run.chosen.items()]
    best = sum(share >= WANTED_OF_BEST for share in of_best)
    alone = sum(share >= WANTED_OF_ALONE for share in of_alone)
    return [
        f"At {len(of_best)} places the router's choice makes at least {WANTED_OF_BEST} of the best "
        f"fixed block {best} times, the least {min(of_best):.2f}; at least {WANTED_OF_ALONE} of "
        f"the expert alone {alone} times, the least {min(of_alone):.2f}"
    ]


def _trips(bare_trips: Mapping[Place, float]) -> str:
    """Medians by the link's round trip."""
    by_link: dict[float, list[float]] = {}
    for (trip, _), found in bare_trips.items():
        by_link.setdefault(trip, []).append(found)
    return ", ".join(f"{median(found):.1f} ms for {trip:g}" for trip, found in by_link.items())


def _best_table(run: Run) -> str:
    header = ["round trip, ms", "acceptance", "expert alone"]
    for overlap in run.overlaps:
        header += [str(overlap), "block", "of predicted", "over bare"]
    header += [f"gain of {overlap}" for overlap in run.overlaps[1:]]
    rows: list[list[Cell]] = []
    for place, alone in run.alone.items():
        best = [run.best(place, overlap) for overlap in run.overlaps]
        row: list[Cell] = [f"{place[0]:g}", f"{place[1]:g}", f"{alone:.1f}"]
        for m in best:
            row += [f"{m.rate:.1f}", m.point.block_length, f"{m.of_predicted:.2f}"]
            row.append(f"{m.of_predicted_over_bare:.2f}")
        longer = [run.chosen[place, overlap].fixed_rate for overlap in run.overlaps]
        row += [f"{rate / longer[0]:.2f}" for rate in longer[1:]]
        rows.append(row)
    return table(header, rows)


def _chosen_table(run: Run) -> str:
    header = ["round trip, ms", "acceptance"]
    for overlap in run.overlaps:
        header += [f"{overlap}, tokens/s", "best block", "of it", "of the expert alone"]
    rows: list[list[Cell]] = []
    for place, alone in run.alone.items():
        row: list[Cell] = [f"{place[0]:g}", f"{place[1]:g}"]
        for overlap in run.overlaps:
            chosen = run.chosen[place, overlap]
            row += [f"{chosen.rate:.1f}", chosen.block_length, f"{chosen.of_fixed:.2f}"]
            row.append(f"{chosen.rate / alone:.2f}")
        rows.append(row)
    return table(header, rows)


def _point_table(run: Run) -> str:
    header = ["round trip, ms", "acceptance", "block", "overlap", "tokens/s", "of predicted"]
    header += ["over bare", "expected", "next block ready", "rejections foreseen"]
    rows: list[list[Cell]] = [
        [
            f"{m.point.round_trip_ms:g}",
            f"{m.point.acceptance:g}",
            m.point.block_length,
            str(m.point.overlap),
            f"{m.rate:.1f}",
            f"{m.of_predicted:.3f}",
            f"{m.of_predicted_over_bare:.3f}",
            f"{rate(run.times, m.point, run.foreseen):.1f}",
            f"{mean(m.ready):.2f}",
            f"{mean(m.foreseen):.2f}",
        ]
        for m in run.measured
    ]
    return table(header, rows)


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "times": asdict(run.times),
        "foreseen": run.foreseen,
        "seconds": run.seconds,
        "repeats": run.repeats,
        "bare_trips": [
            {"round_trip_ms": r, "acceptance": a, "bare_ms": found}
            for (r, a), found in run.bare_trips.items()
        ],
        "alone": [
            {"round_trip_ms": r, "acceptance": a, "per_s": per_s}
            for (r, a), per_s in run.alone.items()
        ],
        "chosen": [
            {"round_trip_ms": r, "acceptance": a, "overlap": asdict(overlap), **asdict(chosen)}
            for ((r, a), overlap), chosen in run.chosen.items()
        ],
        "points": [
            {
                **asdict(m.point),
                "per_s": m.per_s,
                "predicted_per_s": m.predicted_per_s,
                "predicted_over_bare_per_s": m.predicted_over_bare_per_s,
                "next_block_ready": m.ready,
                "rejections_foreseen": m.foreseen,
            }
            for m in run.measured
        ],
    }
