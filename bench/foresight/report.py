"""The report of a run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.foresight.measure import Measured
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, number, table


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    names: tuple[str, str]
    """Of drafter and expert."""
    precision: str
    max_tokens: int
    block_length: int
    prompts: int
    measured: Sequence[Measured]


def to_markdown(run: Run) -> str:
    """The report for people."""
    return document(
        "# What the drafter foresees",
        bullets(
            [
                *run.machine.lines(),
                f"Drafter {run.names[0]}, expert {run.names[1]}, {run.precision}",
                f"{run.prompts} HumanEval prompts, {run.max_tokens} tokens, lossless, blocks of "
                f"{run.block_length}, one block drafted ahead",
                "Foreseen: rejected tokens that the expert replaced by one of the alternatives",
                "Ready: rounds after which the next block had been drafted, ahead or on a fork",
                "Drafter's passes wait for nothing here but the expert's use of the same cores",
            ]
        ),
        _table(run),
    )


def _table(run: Run) -> str:
    header = ["temperature", "alternatives", "rejections", "foreseen", "of them ready in time"]
    header += ["forks used"]
    header += ["rounds", "ready", "drafted ahead", "on a fork"]
    header += ["drafter tokens for each of the answer", "drafter ms for each of the answer"]
    rows: list[list[Cell]] = []
    for one in run.measured:
        rounds, count = one.total("rounds"), one.setting.alternatives
        ahead, forked = one.total("blocks_ahead_used"), one.total("forks_used")
        rows.append(
            [
                f"{one.setting.temperature:g}",
                count,
                f"{one.total('rejections'):.0f}" if count else None,
                number(one.foreseen(count), ".2f"),
                number(one.ready_in_time(count), ".2f"),
                f"{forked:.0f} of {one.total('forks'):.0f}",
                f"{rounds:.0f}",
                f"{(ahead + forked) / rounds:.2f}",
                f"{ahead / rounds:.2f}",
                f"{forked / rounds:.2f}",
                f"{one.total('drafter_tokens') / one.tokens:.2f}",
                f"{one.total('draft_ms') / one.tokens:.1f}",
            ]
        )
    return table(header, rows)


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "drafter": run.names[0],
        "expert": run.names[1],
        "precision": run.precision,
        "max_tokens": run.max_tokens,
        "block_length": run.block_length,
        "settings": [
            {
                **asdict(one.setting),
                "foreseen": [one.foreseen(k) for k in range(1, one.setting.alternatives + 1)],
                "answers": [answer.to_json() for answer in one.answers],
            }
            for one in run.measured
        ],
    }
