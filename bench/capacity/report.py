"""The report of a run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.bare import Bare, Sizes
from bench.capacity.measure import BLOCK_LENGTH, Added, Load
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table

WANTED_PER_S, WANTED_ADDED_MS = 1500, 1.5


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    agreement: float
    seconds: float
    own_core: bool
    """Whether the router had a core that nothing else of the run used."""
    loads: Sequence[Sequence[Load]]
    """Of each number of sessions, its repeats."""
    added: Sequence[Added]
    undecided: Sequence[Load]
    """With peers in the pods' place that answer at once and decide nothing."""
    sizes: Sizes
    """Of the messages."""
    bare: Sequence[Bare]
    """Streams with the same messages and nothing done about them."""


def to_markdown(run: Run) -> str:
    """The report for people."""
    where = (
        "The router alone on one core, both pods and the client together on the others"
        if run.own_core
        else "All processes on one core"
    )
    facts = [
        f"Simulated models, step times 0, agreement {run.agreement:g}; blocks of {BLOCK_LENGTH}, "
        "one after the other, T = 1; loopback",
        where,
        f"{len(run.added)} repeats of {run.seconds:g} s, medians",
        *findings(run),
    ]
    heads = ["sessions", "rounds/s", "router's CPU, ms a round", "of its core", "pods' CPU, ms"]
    sessions, limit = run.bare[0].sessions, median(bare.rounds_per_s for bare in run.bare)
    cpu_ms = median(bare.cpu_ms for bare in run.bare)
    up = run.sizes.drafter_up + run.sizes.expert_up
    down = run.sizes.drafter_down + run.sizes.expert_down
    parts = [median(getattr(a, of) for a in run.added) for of in _PARTS]
    return document(
        "# The router's capacity",
        bullets([*run.machine.lines(), *facts]),
        "## Many sessions",
        table(heads, [_row(repeats) for repeats in run.loads]),
        "*rounds/s* is what this machine reached with all processes on it; a router whose core is "
        "not busy waits for the pods and the client.",
        "## The router alone",
        table(heads, [_row(run.undecided)]),
        "In the pods' place are peers that answer every step at once with messages like theirs, "
        "and decide nothing (of each block three tokens are accepted, one is the expert's): what "
        "is left is the router's own work, and its messages.",
        "## The limit",
        f"Bare streams, {sessions} at once: one process asks two others in turn, with messages of "
        f"the same sizes ({up:,} bytes up and {down:,} down a round), and has no client. It makes "
        f"{limit:,.0f} rounds/s, {cpu_ms:.2f} ms of its CPU each: the router alone comes "
        f"to {_median(run.undecided, 'rounds_per_s') / limit:.0%} of that.",
        "## One session",
        table(
            ["a round, ms", "of it the models' passes", "waking the models' threads", "added"],
            [[f"{ms:.2f}" for ms in (*parts, _added(run))]],
        ),
        "*Added* is the router, the messages both ways, both services' own work and the client; "
        "without what their models' threads take to wake, which a step counts as waiting.",
    )


def _row(repeats: Sequence[Load]) -> list[Cell]:
    return [
        repeats[0].sessions,
        f"{_median(repeats, 'rounds_per_s'):,.0f}",
        f"{_median(repeats, 'router_cpu_ms'):.2f}",
        f"{_median(repeats, 'router_busy'):.0%}",
        f"{_median(repeats, 'pods_cpu_ms'):.2f}",
    ]


_PARTS = ("round_ms", "pods_ms", "queue_ms")


def findings(run: Run) -> list[str]:
    """What was wanted and not reached."""
    most = _most(run)
    out = []
    if most < WANTED_PER_S:
        out.append(f"Out of its limit: {most:,.0f} rounds/s, wanted {WANTED_PER_S:,}")
    if _added(run) > WANTED_ADDED_MS:
        out.append(f"Out of its limit: {_added(run):.2f} ms added, wanted {WANTED_ADDED_MS:g}")
    return out


def _most(run: Run) -> float:
    return max(_median(repeats, "rounds_per_s") for repeats in run.loads)


def _added(run: Run) -> float:
    return median(added.added_ms for added in run.added)


def _median(repeats: Sequence[Load], of: str) -> float:
    return float(median(getattr(load, of) for load in repeats))


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "agreement": run.agreement,
        "seconds": run.seconds,
        "own_core": run.own_core,
        "loads": [[asdict(load) for load in repeats] for repeats in run.loads],
        "router_alone": [asdict(load) for load in run.undecided],
        "added": [asdict(added) for added in run.added],
        "sizes": asdict(run.sizes),
        "bare": [asdict(bare) for bare in run.bare],
    }
