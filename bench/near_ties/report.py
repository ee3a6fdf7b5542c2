"""The reports, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cascade.v1 import law_pb2

from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.near_ties.ask import BLOCK_LENGTHS, Sampling, Seeded
from bench.near_ties.compare import Comparison, rate
from bench.near_ties.gaps import View


@dataclass(frozen=True)
class SetUp:
    """What both reports begin with."""

    machine: Machine
    models: tuple[str, str]
    """Names of drafter and expert."""
    dtype: str
    max_tokens: int
    problems: str = "every 20th problem"
    """Of HumanEval."""

    def lines(self) -> list[str]:
        """One fact a line."""
        drafter, expert = self.models
        return [
            *self.machine.lines(),
            f"Models: drafter {drafter}, expert {expert}, {self.dtype}",
            f"Answers of at most {self.max_tokens} tokens to HumanEval, {self.problems}",
        ]

    def to_json(self) -> dict[str, Any]:
        """The same for a program."""
        return asdict(self)


def greedy_markdown(
    set_up: SetUp, comparisons: Sequence[Comparison], views: Mapping[str, Sequence[View]]
) -> str:
    """Greedy SPECULATIVE against greedy EXPERT."""
    rows: list[list[Cell]] = []
    for c in comparisons:
        rows.append([c.prompt.name, len(c.one), _where(c), *(c.parted or (None, None))])
    gaps: list[list[Cell]] = [
        [name, v.dtype, v.feeding, f"{v.gap:+.4f}", f"{v.top_gap:.4f}", f"{v.spacing:.2g}"]
        for name, of_problem in views.items()
        for v in of_problem
    ]
    return document(
        "# Near ties: greedy SPECULATIVE against greedy EXPERT",
        bullets([*set_up.lines(), f"Differences: {rate(comparisons)}"]),
        table(["problem", "tokens", "first difference", "EXPERT has", "SPECULATIVE has"], rows),
        "## The expert's logits at each difference",
        table(
            ["problem", "dtype", "fed", "EXPERT's - SPECULATIVE's", "first - second", "spacing"],
            gaps,
        )
        if gaps
        else "There is none.",
        "The engine itself, in process, on the prompt and the common prefix: the logit of "
        "EXPERT's token minus that of SPECULATIVE's, and the most likely token's minus the "
        "second's. *Spacing* is the distance between neighbouring numbers of the precision at the "
        "largest logit: a difference is a near tie where the gap is a few of these.",
    )


def greedy_json(
    set_up: SetUp, comparisons: Sequence[Comparison], views: Mapping[str, Sequence[View]]
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "set_up": set_up.to_json(),
        "rate": asdict(rate(comparisons)),
        "comparisons": [
            _comparison(c) | {"views": [asdict(v) for v in views.get(c.prompt.name, ())]}
            for c in comparisons
        ],
    }


def seeded_markdown(set_up: SetUp, sampling: Sampling, seeded: Seeded) -> str:
    """The same request at several block lengths."""
    rows: list[list[Cell]] = []
    for (mode, length), comparisons in seeded.items():
        r = rate(comparisons)
        where = [str(c.difference) for c in comparisons if c.difference is not None]
        rows.append([_mode(mode), length, r.differences, r.compared, f"{r.per_token:.2%}"])
        rows[-1].append(", ".join(where) or None)
    header = ["mode", "block length", "differences", "tokens", "rate", "first differences"]
    return document(
        f"# The same seed at block lengths {', '.join(map(str, BLOCK_LENGTHS))}",
        bullets([*set_up.lines(), f"Temperature {sampling.temperature:g}, seed {sampling.seed}"]),
        table(header, rows),
        f"Each answer against that of the same mode and seed at block length {BLOCK_LENGTHS[0]}. "
        "*Tokens* are those with the same prefix, up to the first difference, that one included; "
        "*rate* is differences by these. On paper every one is 0: what is seen is rounding.",
    )


def seeded_json(set_up: SetUp, sampling: Sampling, seeded: Seeded) -> dict[str, Any]:
    """The same for programs."""
    return {
        "set_up": set_up.to_json(),
        "sampling": asdict(sampling),
        "block_lengths": list(BLOCK_LENGTHS),
        "results": [
            {
                "mode": _mode(mode),
                "block_length": length,
                "rate": asdict(rate(comparisons)) | {"per_token": rate(comparisons).per_token},
                "comparisons": [_comparison(c) for c in comparisons],
            }
            for (mode, length), comparisons in seeded.items()
        ],
    }


def _mode(mode: law_pb2.Mode.ValueType) -> str:
    return law_pb2.Mode.Name(mode).removeprefix("MODE_")


def _where(comparison: Comparison) -> str:
    at = comparison.difference
    return "equal" if at is None else str(at)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "problem": comparison.prompt.name,
        "one": list(comparison.one),
        "other": list(comparison.other),
        "first_difference": comparison.difference,
        "compared": comparison.compared,
    }
