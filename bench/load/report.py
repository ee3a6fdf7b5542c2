"""The report of a run."""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.load.measure import ALONE, FIXED, TOKENS, WAYS, Made
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.network.predicted import Times


@dataclass(frozen=True, order=True)
class Place:
    """What is varied."""

    token_ms: float
    """Of a token fed, in the expert, beside the time of its pass."""
    sessions: int


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    times: Times
    agreement: float
    learn_s: float
    seconds: float
    made: dict[Place, dict[str, list[Made]]]
    """By the name of the way, of each repeat."""

    def per_s(self, place: Place, way: str) -> float:
        """Median over repeats."""
        return median(made.per_s for made in self.made[place][way])

    def alone(self, place: Place, way: str) -> float:
        """Share of the tokens that the expert decoded alone."""
        return median(made.alone for made in self.made[place][way])


def to_markdown(run: Run) -> str:
    """The report for people."""
    return document(
        "# Many sessions at once",
        bullets(
            [
                *run.machine.lines(),
                f"Simulated models, agreement {run.agreement:g}: a pass of the drafter takes "
                f"{run.times.draft_ms:g} ms, one of the expert {run.times.pass_ms:g} ms and so "
                "much more for each token in it; real services on loopback, each model with "
                "hardware of its own",
                f"Greedy answers of {TOKENS} tokens, one after another in each session; tokens a "
                f"second of all together, {run.seconds:g} s after {run.learn_s:g} s that are not "
                "counted, medians over repeats; one router for all of a cost, so that where it "
                "chooses it has learnt from blocks of one length before",
            ]
        ),
        _table(run),
    )


def _table(run: Run) -> str:
    names = [way.name for way in WAYS]
    chosen = names[-1]
    header = ["ms a token", "sessions", *(f"{name}, tokens/s" for name in names)]
    header += [f"of {ALONE.name}", f"of {FIXED.name}", "share alone"]
    rows: list[list[Cell]] = []
    for place in sorted(run.made):
        rates = {name: run.per_s(place, name) for name in names}
        rows.append(
            [
                f"{place.token_ms:g}",
                place.sessions,
                *(f"{rates[name]:.0f}" for name in names),
                f"{rates[chosen] / rates[ALONE.name]:.2f}",
                f"{rates[chosen] / rates[FIXED.name]:.2f}",
                f"{run.alone(place, chosen):.2f}",
            ]
        )
    return table(header, rows)


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "times": asdict(run.times),
        "agreement": run.agreement,
        "learn_s": run.learn_s,
        "seconds": run.seconds,
        "places": [
            {
                **asdict(place),
                "made": {name: [asdict(one) for one in made] for name, made in ways.items()},
            }
            for place, ways in sorted(run.made.items())
        ],
    }
