"""The report, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from bench.machine import Machine
from bench.markdown import Cell, bullets, document, number, table
from bench.prompts import Prompt
from bench.wire.cases import CANDIDATES, Case, Setting
from bench.wire.traffic import Measured, described, row_bytes


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    models: tuple[str, str]
    """Names of drafter and expert."""
    dtype: str
    vocabulary_size: int
    """Entries of the drafter's output layer."""
    prompts: Sequence[Prompt]
    setting: Setting
    measured: Mapping[Case, Measured]


def to_markdown(run: Run) -> str:
    """The report for people."""
    header = ["law", "drafted", "expert up", "limit", "expert down", "limit", "drafter up"]
    header += ["drafter down", "prompt", "full row / expert up", "beside the id crosses"]
    return document(
        "# Bytes on the wire for each drafted token",
        bullets([*run.machine.lines(), *_set_up(run), *_findings(run)]),
        table(header, [_row(case, m, run.vocabulary_size) for case, m in run.measured.items()]),
        "All bytes of all protobuf messages of an answer's two sessions, by the tokens drafted in "
        "it: opening, law, end tokens, prompt, every block, every verdict and its timing, and what "
        "is thrown away behind a rejection. What gRPC and HTTP/2 put around each message (5 bytes "
        "and a frame's 9) is not in it. *Prompt* is the part of *expert up*, and as much of "
        "*drafter up*, that is the prompt: the `append` field of each session's first step, tag, "
        "length and ids, spread over the drafted tokens. It is included in both, and the "
        "longer the answer, the less it is.",
    )


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "models": dict(zip(("drafter", "expert"), run.models, strict=True)),
        "dtype": run.dtype,
        "vocabulary_size": run.vocabulary_size,
        "row_bytes": row_bytes(run.vocabulary_size),
        "setting": asdict(run.setting) | {"candidates": CANDIDATES},
        "prompts": {prompt.name: len(prompt.token_ids) for prompt in run.prompts},
        "laws": {
            case.name: {
                "law": MessageToDict(m.law, preserving_proto_field_name=True),
                "crossing": asdict(m.crossing),
                "answers": m.traffic.answers,
                "drafted": m.traffic.drafted,
                "bytes": asdict(m.traffic.total),
                "bytes_per_drafted_token": asdict(m.traffic.per_token),
                "limits": asdict(case.limits),
            }
            for case, m in run.measured.items()
        },
    }


def above(case: Case, measured: Measured) -> list[str]:
    """The figures of a law that are above their limits, in words."""
    per_token = measured.traffic.per_token
    return [
        f"{case.name}: {value:.1f} bytes {direction}, at most {limit:g}"
        for value, direction, limit in (
            (per_token.expert_up, "to the expert", case.limits.up),
            (per_token.expert_down, "from the expert", case.limits.down),
        )
        if limit is not None and value > limit
    ]


def _set_up(run: Run) -> list[str]:
    drafter, expert = run.models
    setting, lengths = run.setting, [len(prompt.token_ids) for prompt in run.prompts]
    blocks = "the router's choice" if setting.block_length is None else f"{setting.block_length}"
    return [
        f"Models: drafter {drafter}, expert {expert}, {run.dtype}",
        f"Prompts: {len(run.prompts)} of HumanEval, every 20th, {min(lengths)} to {max(lengths)} "
        f"tokens; answers of at most {setting.max_tokens} tokens, temperature 1 but for greedy, "
        f"K = {CANDIDATES}, seed {setting.seed}, block length {blocks}, alpha the rule's "
        "default",
        f"A full float32 row over the vocabulary ({run.vocabulary_size:,} output entries) is "
        f"{row_bytes(run.vocabulary_size) / 1000:.0f} kB for each drafted token",
    ]


def _findings(run: Run) -> list[str]:
    found = [text for case, measured in run.measured.items() for text in above(case, measured)]
    if not found:
        return ["Every figure is within its limit"]
    return [f"Above its limit: {text}" for text in found]


def _row(case: Case, measured: Measured, vocabulary_size: int) -> list[Cell]:
    each = measured.traffic.per_token
    return [
        case.name,
        measured.traffic.drafted,
        f"{each.expert_up:.1f}",
        number(case.limits.up, "g"),
        f"{each.expert_down:.1f}",
        number(case.limits.down, "g"),
        f"{each.drafter_up:.1f}",
        f"{each.drafter_down:.1f}",
        f"{each.prompt:.1f}",
        f"{row_bytes(vocabulary_size) / each.expert_up:,.0f}",
        described(measured.crossing),
    ]
