"""The report, as Markdown and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from bench.acceptance.cases import MOST_GROWTH, Case
from bench.acceptance.measure import BLOCK_LENGTHS, CONTEXT, SESSIONS, Measured
from bench.acceptance.summary import Growth, Summary
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    models: tuple[str, str]
    """Names of drafter and expert."""
    dtype: str
    vocabulary_size: int
    threads: int
    contexts: int
    """Different ones."""
    repeats: int
    measured: Measured


def to_markdown(run: Run) -> str:
    """The report for people."""
    return document(
        "# Acceptance beside the pass that it follows",
        bullets([*run.machine.lines(), *_set_up(run), *findings(run.measured)]),
        "## After the pass",
        _steps_table(run.measured.steps),
        "Medians. *Pass* is the expert's pass over the last token of the context and the block; "
        "*after* is all that the worker's thread then does with its logits: the block's messages "
        "become tensors, the rule decides, the rejected token is replaced, and the verdict's "
        "message is made; *share* is the second as a share of the first. *Rows* are those whose "
        "logits the pass computes: one more than the block where a bonus token may follow.",
        "## The rules alone",
        _batches_table(run.measured.batches),
        f"`services.rules.acceptance.verify` on blocks of {max(BLOCK_LENGTHS)} that were really "
        f"drafted and the logits of their passes, ms for each session: in a call of its own, and "
        f"as its part of one call for {SESSIONS} sessions.",
    )


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "models": dict(zip(("drafter", "expert"), run.models, strict=True)),
        "dtype": run.dtype,
        "vocabulary_size": run.vocabulary_size,
        "threads": run.threads,
        "context": CONTEXT,
        "contexts": run.contexts,
        "repeats": run.repeats,
        "laws": {
            case.name: {
                "law": MessageToDict(case.law(0), preserving_proto_field_name=True),
                "limit": case.limit,
                "steps": {
                    str(length): asdict(step) | {"share": step.share}
                    for length in BLOCK_LENGTHS
                    for step in [run.measured.steps[case, length]]
                },
                "rules_alone": asdict(growth) | {"ratio": growth.ratio},
            }
            for case, growth in run.measured.batches.items()
        },
    }


def findings(measured: Measured) -> list[str]:
    """What is above its limit, in words."""
    shares = [
        f"Above its limit: {case.name}, block of {length}: {step.share:.1%} of the pass, at most "
        f"{case.limit:.0%}"
        for (case, length), step in measured.steps.items()
        if step.share > case.limit
    ]
    grown = [
        f"Above its limit: {case.name}: a session among {growth.sessions} takes "
        f"{growth.ratio:.2f} times what it takes alone, at most {MOST_GROWTH:g}"
        for case, growth in measured.batches.items()
        if growth.ratio > MOST_GROWTH
    ]
    return [*shares, *grown] or ["Every figure is within its limit"]


def _set_up(run: Run) -> list[str]:
    drafter, expert = run.models
    return [
        f"Models: drafter {drafter}, expert {expert}, {run.dtype}; {run.vocabulary_size:,} tokens "
        f"in the vocabulary; {run.threads} threads",
        f"Blocks: drafted by the drafter after {run.contexts} contexts of {CONTEXT} tokens, each "
        "the end of a HumanEval problem (every 20th) and of an answer begun; alpha the rule's "
        "default",
        f"Repeats: {run.repeats} of each law and block length, laws and lengths in turn, after one "
        "that is left out; every one is a pass and at once what follows it",
    ]


def _steps_table(steps: Mapping[tuple[Case, int], Summary]) -> str:
    header = ["law"]
    for length in BLOCK_LENGTHS:
        header += [f"block of {length}: rows", "pass, ms", "after, ms", "share"]
    rows: list[list[Cell]] = []
    for case in dict.fromkeys(case for case, _ in steps):
        row: list[Cell] = [case.name]
        for length in BLOCK_LENGTHS:
            step = steps[case, length]
            row += [step.rows, f"{step.pass_ms:.1f}", f"{step.after_ms:.2f}", f"{step.share:.1%}"]
        rows.append([*row, f"{case.limit:.0%}"])
    return table([*header, "limit"], rows)


def _batches_table(batches: Mapping[Case, Growth]) -> str:
    rows: list[list[Cell]] = [
        [
            case.name,
            f"{g.alone_ms:.2f}",
            f"{g.together_ms:.2f}",
            f"{g.ratio:.2f}",
            f"{MOST_GROWTH:g}",
        ]
        for case, g in batches.items()
    ]
    return table(["law", "alone", f"among {SESSIONS}", "times", "limit"], rows)
