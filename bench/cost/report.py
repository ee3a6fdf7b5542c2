"""The report: device time, gain, cost and pods of every mode, and all that is taken for granted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.cost.assumptions import assumed
from bench.cost.demand import Fleet, Load, Mode, Parts, fleet, price
from bench.cost.given import Times
from bench.cost.measured import Counts
from bench.cost.stored import Source
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, number, table


@dataclass(frozen=True)
class Run:
    """All that went in."""

    machine: Machine
    """That worked it out: no figure is of it."""
    sources: Sequence[Source]
    """Of the figures."""
    models: Sequence[str]
    modes: Sequence[Mode]
    """One, or a mixture, a row."""
    counts: dict[str, Counts]
    """Of the modes that ``speed.json`` has, by name."""
    prices: Parts
    """Of a device hour."""
    loads: Sequence[Load]
    """Their answers and utilisation are the same."""
    times: Times | None
    """The step times given in place of the measured ones."""

    @property
    def fleets(self) -> list[tuple[Mode, list[tuple[Load, Fleet]]]]:
        """Of every mode and load."""
        return [
            (mode, [(load, fleet(mode.at_once, load)) for load in self.loads])
            for mode in self.modes
        ]


def to_markdown(run: Run, picture: str) -> str:
    """The report for people; ``picture`` is the plot's path from where it lies."""
    load = run.loads[0]
    parts = [
        "# Cost",
        bullets(
            [
                f"Command: `{run.machine.command}`",
                f"Date: {run.machine.date}, commit {run.machine.commit}",
                f"Models: drafter {run.models[0]}, expert {run.models[1]}",
                f"Prices: {run.prices.drafter:g} for a drafter's device hour, "
                f"{run.prices.expert:g} for an expert's; costs are in the same unit",
                f"Load: answers of {load.answer_tokens:g} tokens in the mean, devices busy "
                f"{load.utilisation:.0%} of their time at most",
                _warning(run),
            ]
        ),
        f"![Cost of a thousand tokens by mode, drafter and expert]({picture})",
        "## A thousand tokens, one session at a time",
        _cost_table(run, at_once=False),
        "Busy seconds of each device, and their cost; *of the expert alone* compares costs.",
        "## A thousand tokens, several sessions at once",
        _cost_table(run, at_once=True),
        "The same seconds divided by the gain: how many times the tokens of one session several "
        "make in the same time. Where it was not measured it is taken as 1, as if several gave no "
        "more than one: such a row, and its pods, can't be compared with one of a measured gain.",
        _gain_table(run.modes),
        "## Pods by load",
        "Pods = ceil(load * seconds a request / (gain * utilisation)) of each role; a pod is one "
        "device. The ratio is of the pods, and tends to that of the seconds as the load grows.",
    ]
    for mode, fleets in run.fleets:
        unmeasured = "" if mode.gain else " (gain not measured: 1)"
        parts += [f"### {mode.label}{unmeasured}", _pod_table(run, fleets)]
    parts += [
        "## What was measured",
        bullets([*(source.line() for source in run.sources), *_counted(run)]),
        "## What is assumed",
        bullets(assumed(given=run.times is not None)),
        "## Another machine",
        "This is a method to be used again with figures of the GPUs that are to be paid for: "
        "give their step times as a file with `--times`, whose form `bench/cost/given.py` tells. "
        "Reports of the other benches from another CPU machine are read with `--results`. Prices "
        "are set with `--price-drafter` and `--price-expert`, the load with `--load`, "
        "`--answer-tokens` and `--utilisation`, a mixture of modes with `--mix`.",
    ]
    return document(*parts)


def _warning(run: Run) -> str:
    if run.times:
        return f"Step times were given: {run.times.source}"
    cores = sorted({source.cores for source in run.sources})
    return (
        f"All times are of a CPU machine, {' and '.join(map(str, cores))} cores that drafter, "
        "expert and router share: what a GPU costs has to be measured there"
    )


def _cost_table(run: Run, *, at_once: bool) -> str:
    header = ["mode", "drafter, s", "expert, s", "all, s", "drafter's by expert's"]
    header += ["cost, drafter", "cost, expert", "cost", "of the expert alone"]
    base = next((m for m in run.modes if m.name == "expert"), None)
    rows: list[list[Cell]] = []
    for mode in run.modes:
        busy = mode.at_once if at_once else mode.alone
        cost = price(busy, run.prices)
        of = None
        if base and (not at_once or (mode.gain is None) == (base.gain is None)):
            of = cost.total / price(base.at_once if at_once else base.alone, run.prices).total
        rows.append(
            [
                mode.label + ("" if mode.gain or not at_once else " (gain not measured: 1)"),
                f"{busy.drafter:.2f}",
                f"{busy.expert:.2f}",
                f"{busy.total:.2f}",
                number(busy.drafters_per_expert, ".2f"),
                f"{cost.drafter:#.3g}",
                f"{cost.expert:#.3g}",
                f"{cost.total:#.3g}",
                number(of, ".2f"),
            ]
        )
    return table(header, rows)


def _gain_table(modes: Sequence[Mode]) -> str:
    rows: list[list[Cell]] = [
        [
            mode.label,
            f"{mode.gain.times:.2f}" if mode.gain else "1",
            mode.gain.basis if mode.gain else "not measured",
        ]
        for mode in modes
        if mode.name != "mixture"
    ]
    return table(["mode", "gain", "from"], rows)


def _pod_table(run: Run, fleets: Sequence[tuple[Load, Fleet]]) -> str:
    header = ["requests/s", "tokens/s", "drafters", "experts", "drafters an expert"]
    header += ["drafters busy", "experts busy", "cost an hour"]
    rows: list[list[Cell]] = []
    for load, of in fleets:
        drafters, experts = of.utilisation
        rows.append(
            [
                f"{load.requests_per_s:,.10g}",
                f"{load.requests_per_s * load.answer_tokens:,.10g}",
                f"{of.drafters:,}",
                f"{of.experts:,}",
                number(of.pods.drafters_per_expert, ".2f"),
                number(drafters, ".1%"),
                number(experts, ".1%"),
                f"{price(of.pods.times(3600.0), run.prices).total:,.6g}",
            ]
        )
    return table(header, rows)


def _counted(run: Run) -> list[str]:
    return [
        f"{name}: {c.answers} answers, {c.tokens:,} tokens in {c.rounds:,} rounds, {c.drafted:,} "
        f"drafted; {c.busy_s.drafter:.1f} s in the drafter's engine and {c.busy_s.expert:.1f} s "
        "in the expert's" + ("; its seconds are not used, its rounds are" if run.times else "")
        for name, c in run.counts.items()
    ]


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs: seconds and costs for a thousand tokens, pods for each load."""
    return {
        "machine": run.machine.to_json(),
        "sources": [asdict(source) for source in run.sources],
        "models": list(run.models),
        "prices": asdict(run.prices),
        "times": run.times.model_dump() if run.times else None,
        "counts": {name: asdict(counts) for name, counts in run.counts.items()},
        "assumptions": assumed(given=run.times is not None),
        "modes": [
            {
                "name": mode.name,
                "label": mode.label,
                "gain": asdict(mode.gain) if mode.gain else None,
                "alone_s": asdict(mode.alone),
                "alone_cost": asdict(price(mode.alone, run.prices)),
                "at_once_s": asdict(mode.at_once),
                "at_once_cost": asdict(price(mode.at_once, run.prices)),
                "pods": [
                    {
                        **asdict(load),
                        "drafters": of.drafters,
                        "experts": of.experts,
                        "drafters_per_expert": of.pods.drafters_per_expert,
                        "busy": dict(zip(("drafter", "expert"), of.utilisation, strict=True)),
                        "cost_per_hour": price(of.pods.times(3600.0), run.prices).total,
                    }
                    for load, of in fleets
                ],
            }
            for mode, fleets in run.fleets
        ],
    }
