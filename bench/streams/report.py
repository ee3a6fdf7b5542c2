"""The report of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.answer import first_difference
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.peers import llama_cpp, transformers, vllm
from bench.peers.llama_cpp_install import LLAMA_CPP
from bench.peers.vllm_install import VLLM
from bench.streams.measure import Batch, Rates, rates
from bench.streams.systems import KEEPS_EXPERTS_LAW, MODES, Engine, System


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
    temperature: float
    max_tokens: int
    repeats: int
    together: Sequence[Sequence[System]]
    """The systems, by which were in memory at the same time."""
    left_out: Sequence[str]
    """Why others do not answer."""
    batches: Mapping[int, Sequence[Batch]]
    """By how many are asked at once."""

    @property
    def systems(self) -> list[System]:
        """All of them, in the order of the class."""
        chosen = {system for group in self.together for system in group}
        return [system for system in System if system in chosen]

    @property
    def rates(self) -> dict[int, dict[System, Rates]]:
        """Of each number of streams and each system that answers so many."""
        return {
            streams: {
                system: rates(of, system) for system in self.systems if system.answers(streams)
            }
            for streams, of in self.batches.items()
        }


def to_markdown(run: Run) -> str:
    """The report for people."""
    parts = ["# Ours beside others", bullets([*run.machine.lines(), *_set_up(run)])]
    for streams, found in run.rates.items():
        parts += [f"## {streams} at once", _table(found), bullets(findings(found))]
    if not run.temperature:
        parts += ["## The answers", _equal(run)]
    return document(*parts)


def _set_up(run: Run) -> list[str]:
    drafter, expert = run.models
    engines = {system.engine for system in run.systems}
    groups = [", ".join(dict.fromkeys(s.engine for s in group)) for group in run.together]
    said = f"; our drafter says {run.draft_vocabulary} tokens" if run.draft_vocabulary else ""
    how = "greedy" if not run.temperature else f"temperature {run.temperature:g}, nothing truncated"
    facts = [
        f"Models: drafter {drafter}, expert {expert}, {run.dtype}; our drafter's weights "
        f"{run.weights[0]}, our expert's {run.weights[1]}{said}",
        f"Prompts of HumanEval, {how}, at most {run.max_tokens} new tokens; {run.repeats} repeats, "
        "of each batch the one of median time",
        "In memory at the same time, one at work at a time, in turn: " + "; then ".join(groups),
        "tokens/s: all tokens by the time from asking to the end of the last answer, prompts "
        "included; prefix caching off everywhere.  Ours come from real services over loopback",
    ]
    if engines & {Engine.VLLM, Engine.VLLM_DRAFT, Engine.VLLM_SERVER}:
        facts.append(
            f"{VLLM}, {run.dtype}, eager, {vllm.DRAFTED} tokens drafted at a time; its engine in a "
            "process, without a server, but for *vLLM's server*, over loopback"
        )
    if engines & {Engine.LLAMA_CPP, Engine.LLAMA_CPP_DRAFT}:
        facts.append(
            f"{LLAMA_CPP}, the 4-bit files that ours were converted from, at most "
            f"{llama_cpp.DRAFTED} tokens drafted at a time; its server over loopback"
        )
    if Engine.TRANSFORMERS in engines:
        facts.append(
            f"transformers, {run.dtype}, in the bench's process, one request at a time; assisted "
            f"in blocks of {transformers.BLOCK}"
        )
    return facts + [line[:1].upper() + line[1:] for line in run.left_out]


def _table(found: Mapping[System, Rates]) -> str:
    rows: list[list[Cell]] = [
        [
            system.label,
            r.tokens,
            f"{r.tokens_per_s:.2f}",
            f"{r.slowest_per_s:.2f} to {r.fastest_per_s:.2f}",
            f"{r.first_ms:.0f}",
        ]
        for system, r in found.items()
    ]
    return table(["system", "tokens", "tokens/s", "repeats", "first token, ms"], rows)


def findings(found: Mapping[System, Rates]) -> list[str]:
    """Ours that keep the expert's law against the best of the others."""
    theirs = {system: r.tokens_per_s for system, r in found.items() if system not in MODES}
    if not theirs:
        return ["Without others there is nothing to compare with"]
    best = max(theirs, key=lambda system: theirs[system])
    return [
        f"{system.label} against the best of the others ({best.label}): "
        f"{found[system].tokens_per_s / theirs[best]:.2f}"
        for system in KEEPS_EXPERTS_LAW
        if system in found
    ]


def _equal(run: Run) -> str:
    """How many answers are the same as the expert's alone."""
    base = System.EXPERT if System.EXPERT in run.systems else run.systems[0]
    rows: list[list[Cell]] = []
    for system in run.systems:
        pairs = [
            (mine, theirs)
            for streams, of in run.batches.items()
            if system.answers(streams) and base.answers(streams)
            for batch in of
            for mine, theirs in zip(batch.answers[system][0], batch.answers[base][0], strict=True)
        ]
        equal = sum(first_difference(a.token_ids, b.token_ids) is None for a, b in pairs)
        rows.append([system.label, f"{equal} of {len(pairs)}"])
    return table(["system", f"equal to {base.label}"], rows)


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "models": list(run.models),
        "dtype": run.dtype,
        "weights": list(run.weights),
        "draft_vocabulary": run.draft_vocabulary,
        "temperature": run.temperature,
        "max_tokens": run.max_tokens,
        "repeats": run.repeats,
        "rates": {
            str(streams): {system: asdict(r) for system, r in found.items()}
            for streams, found in run.rates.items()
        },
        "wall_s": {
            str(streams): [dict(batch.wall_s) for batch in of]
            for streams, of in run.batches.items()
        },
    }
