"""The report of a run, as Markdown and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cascade.v1 import law_pb2
from google.protobuf.json_format import MessageToDict

from bench.answer import Answer, first_difference
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, number, rounded, table
from bench.prompts import Prompt
from bench.speed.ours import Drafts
from bench.speed.summary import Answers, RoundTime, Summary, summarise
from bench.speed.systems import ASSISTED, BASELINE, System


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    models: tuple[str, str]
    """Names of drafter and expert."""
    dtype: str
    weights: tuple[str, str]
    """What our drafter's and expert's are kept in."""
    draft_vocabulary: int
    """Tokens that our drafter may say; 0: all."""
    prompts: Sequence[Prompt]
    max_tokens: int
    repeats: int
    end_token_ids: Sequence[int]
    drafts: Drafts
    together: bool
    """Whether transformers and the services were in memory at the same time."""
    answers: Mapping[System, Answers]
    laws: Mapping[int, law_pb2.Law]

    @property
    def summaries(self) -> dict[System, Summary]:
        """The figures of each system."""
        return {
            system: summarise(answers, grouped=system in ASSISTED)
            for system, answers in self.answers.items()
        }


def write(run: Run, folder: Path) -> Path:
    """Writes ``speed.md`` and ``speed.json``; returns the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(rounded(to_json(run)), indent=1) + "\n")
    path = folder / "speed.md"
    path.write_text(to_markdown(run))
    return path


def to_markdown(run: Run) -> str:
    """The report for people."""
    return document(
        "# Speed",
        bullets([*run.machine.lines(), *_set_up(run)]),
        "## Over all",
        _speed_table(run.summaries),
        bullets(_findings(run.summaries)),
        "## Where the time of a round goes",
        _round_table(run.summaries),
        "Milliseconds of a mean round and their share in it, the prompt's own passes included. "
        "*Everything else* is waiting, network, serialisation and the router, as the client saw "
        "it; *of decoding* sets all of it against the time after the first token alone, and so is "
        "an upper bound of its share in a round without a prompt.",
        f"## The answers against {BASELINE.label}",
        _answers_table(run),
        "Index of the first token that differs, the end token included.",
    )


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs: the figures, and every answer measured."""
    return {
        "machine": run.machine.to_json(),
        "models": dict(zip(("drafter", "expert"), run.models, strict=True)),
        "dtype": run.dtype,
        "weights": dict(zip(("drafter", "expert"), run.weights, strict=True)),
        "draft_vocabulary": run.draft_vocabulary,
        "max_tokens": run.max_tokens,
        "repeats": run.repeats,
        "end_token_ids": list(run.end_token_ids),
        "block_length": run.drafts.block_length,
        "early_stop": run.drafts.early_stop,
        "in_memory_together": run.together,
        "laws": {
            law_pb2.Mode.Name(law.mode): MessageToDict(law, preserving_proto_field_name=True)
            for law in run.laws.values()
        },
        "summaries": {system: asdict(summary) for system, summary in run.summaries.items()},
        "prompts": {prompt.name: list(prompt.token_ids) for prompt in run.prompts},
        "answers": {
            system: {name: [a.to_json() for a in repeats] for name, repeats in answers.items()}
            for system, answers in run.answers.items()
        },
    }


def _kept(run: Run) -> str:
    """What is kept in another type."""
    kept = [
        f"{role}'s weights in {weights}"
        for role, weights in zip(("drafter", "expert"), run.weights, strict=True)
        if weights not in ("auto", run.dtype)
    ]
    if run.draft_vocabulary:
        kept.append(f"first {run.draft_vocabulary} tokens of the drafter's vocabulary")
    return f"; ours keeps the {' and the '.join(kept)}" if kept else ""


def _set_up(run: Run) -> list[str]:
    drafter, expert = run.models
    lengths = [len(prompt.token_ids) for prompt in run.prompts]
    chat = all(prompt.chat for prompt in run.prompts)
    how = "each as one user message in the expert's chat template" if chat else "as raw text"
    laws = [
        f"{law_pb2.Mode.Name(law.mode).removeprefix('MODE_')} rule "
        f"{law_pb2.Rule.Name(law.rule).removeprefix('RULE_')}, alpha {law.alpha:g}"
        for law in run.laws.values()
        if law.rule
    ]
    return [
        f"Models: drafter {drafter}, expert {expert}, {run.dtype} everywhere{_kept(run)}",
        f"Prompts: {len(run.prompts)} of HumanEval, every 20th, {how}, {min(lengths)} to "
        f"{max(lengths)} tokens; the same token ids for every system; greedy, at most "
        f"{run.max_tokens} new tokens",
        f"Repeats: {run.repeats}, the one of median total time counts for each problem; a warm-up "
        "of each system on another prompt is left out",
        "transformers and the services were "
        + (
            "in memory at the same time; the systems took turns at each prompt, one at work at a "
            "time"
            if run.together
            else "in memory one after the other, and so measured: all of theirs, then all of ours"
        ),
        f"Our services are real processes on loopback, each with all cores; the block length "
        f"{run.drafts}" + (f"; {'; '.join(laws)}" if laws else ""),
        f"Generation settings: of those that come with a model the services honour the end tokens "
        f"alone; temperature, top_k, top_p and repetition_penalty come from the request. So all "
        f"systems have repetition penalty 1.0 and the end tokens {list(run.end_token_ids)}, which "
        f"count as no token of an answer",
        "Times are the caller's: from the call to the first token, and to the end of the call. The "
        "services also turn tokens into text, transformers does not",
    ]


def _speed_table(summaries: Mapping[System, Summary]) -> str:
    base = summaries.get(BASELINE)
    header = ["system", "tokens", "tokens/s", "of (a)", "repeats", "first token, ms"]
    header += ["decode, tokens/s", "of (a)", "acceptance", "draft efficiency", "tokens a round"]
    rows: list[list[Cell]] = []
    for system, s in summaries.items():
        rows.append(
            [
                system.label,
                s.tokens,
                f"{s.tokens_per_s:.2f}",
                _times(s.tokens_per_s, base.tokens_per_s if base else None),
                f"{s.slowest_per_s:.2f} to {s.fastest_per_s:.2f}",
                f"{s.first_ms:.0f}",
                number(s.decode_per_s, ".2f"),
                _times(s.decode_per_s, base.decode_per_s if base else None),
                number(s.acceptance, ".3f"),
                number(s.draft_efficiency, ".3f"),
                number(s.tokens_per_round, ".2f"),
            ]
        )
    return table(header, rows)


def _findings(summaries: Mapping[System, Summary]) -> list[str]:
    """How ours compares with the better of transformers' two ways to speculate."""
    assisted = [summaries[s] for s in ASSISTED if s in summaries]
    lines = []
    for system in (System.SPECULATIVE, System.CASCADE):
        if assisted and (ours := summaries.get(system)):
            over_all = _times(ours.tokens_per_s, max(s.tokens_per_s for s in assisted))
            decode = _times(ours.decode_per_s, max(s.decode_per_s or 0.0 for s in assisted))
            lines.append(
                f"{system.label} against the better of (b) and (c): {over_all} over all, "
                f"{decode} in decoding"
            )
    return lines or ["Without (b) or (c), or without ours, there is nothing to compare"]


def _round_table(summaries: Mapping[System, Summary]) -> str:
    header = ["system", "rounds", "round, ms", "draft", "verify", "everything else", "of decoding"]
    rows: list[list[Cell]] = []
    for system, s in summaries.items():
        if s.round is not None:
            r = s.round
            parts = [_part(r, ms) for ms in (r.draft_ms, r.verify_ms, r.else_ms)]
            decoding = f"{r.else_of_decoding:.1%}"
            rows.append([system.label, r.rounds, f"{r.total_ms:.1f}", *parts, decoding])
    return table(header, rows)


def _part(r: RoundTime, ms: float) -> str:
    return f"{ms:.1f} ({r.share(ms):.1%})"


def _answers_table(run: Run) -> str:
    others = [system for system in run.answers if system is not BASELINE]
    rows: list[list[Cell]] = []
    for prompt in run.prompts:
        base = run.answers.get(BASELINE, {}).get(prompt.name)
        row: list[Cell] = [prompt.name, len(prompt.token_ids)]
        row.append(None if base is None else len(base[0].token_ids))
        for system in others:
            repeats = run.answers[system][prompt.name]
            row.append(None if base is None else _compared(base[0], repeats))
        rows.append(row)
    header = ["problem", "prompt tokens", "answer tokens of (a)", *(s.value for s in others)]
    return table(header, rows)


def _compared(base: Answer, repeats: Sequence[Answer]) -> str:
    """Equal, or where the first difference is; of all repeats, should they differ."""
    at = {first_difference(base.emitted, answer.emitted) for answer in repeats}
    return ", ".join(sorted("equal" if i is None else f"differs at {i}" for i in at))


def _times(a: float | None, b: float | None) -> str | None:
    """How many times ``b`` is ``a``, for a table."""
    return f"{a / b:.2f}" if a is not None and b else None
