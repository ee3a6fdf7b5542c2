"""The report of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.answer import first_difference
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.peers.vllm import DRAFTED
from bench.peers.vllm_install import VLLM
from bench.streams.measure import Batch, Rates, rates
from bench.streams.systems import MODES, System


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    models: tuple[str, str]
    """Names of drafter and expert."""
    dtype: str
    weights: tuple[str, str]
    """What our drafter's and expert's are kept in."""
    max_tokens: int
    repeats: int
    systems: Sequence[System]
    batches: Mapping[int, Sequence[Batch]]
    """By how many are asked at once."""

    @property
    def rates(self) -> dict[int, dict[System, Rates]]:
        """Of each number of streams and each system."""
        return {
            streams: {system: rates(of, system) for system in self.systems}
            for streams, of in self.batches.items()
        }


def to_markdown(run: Run) -> str:
    """The report for people."""
    parts = ["# Ours beside vLLM", bullets([*run.machine.lines(), *_set_up(run)])]
    for streams, found in run.rates.items():
        parts += [f"## {streams} at once", _table(found), bullets(findings(found))]
    parts += ["## The answers", _equal(run)]
    return document(*parts)


def _set_up(run: Run) -> list[str]:
    drafter, expert = run.models
    return [
        f"Models: drafter {drafter}, expert {expert}, {run.dtype}; our drafter's weights "
        f"{run.weights[0]}, our expert's {run.weights[1]}",
        f"{VLLM}, bfloat16, eager, {DRAFTED} tokens drafted at a time; prefix caching off on both "
        "sides",
        f"Greedy, at most {run.max_tokens} new tokens; {run.repeats} repeats, of each batch the "
        "median; all systems in memory at the same time, one at work at a time, in turn",
        "tokens/s: all tokens by the time from asking to the end of the last answer, prompts "
        "included.  Ours come from real services over loopback, vLLM's from its engine in a "
        "process, without a server",
    ]


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
    """Ours against the better of vLLM's."""
    theirs = [r.tokens_per_s for system, r in found.items() if system not in MODES]
    return [
        f"{system.label} against the better of vLLM's: {r.tokens_per_s / max(theirs):.2f}"
        for system, r in found.items()
        if system in MODES and theirs
    ] or ["Without vLLM there is nothing to compare: `make peer-vllm` installs it"]


def _equal(run: Run) -> str:
    """How many answers are the same as the expert's alone."""
    base = System.EXPERT if System.EXPERT in run.systems else run.systems[0]
    rows: list[list[Cell]] = []
    for system in run.systems:
        pairs = [
            (mine, theirs)
            for of in run.batches.values()
            for batch in of
            for mine, theirs in zip(batch.answers[system][0], batch.answers[base][0], strict=True)
        ]
        equal = sum(first_difference(a.emitted, b.emitted) is None for a, b in pairs)
        rows.append([system.label, f"{equal} of {len(pairs)}"])
    return table(["system", f"equal to {base.label}"], rows)


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "models": list(run.models),
        "dtype": run.dtype,
        "weights": list(run.weights),
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
