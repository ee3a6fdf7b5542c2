"""The report of ``bench.engine``."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.engine import intrusion, limits
from bench.engine.intrusion import Intrusion
from bench.engine.limits import Limits
from bench.engine.operators import SESSIONS as DECODING
from bench.engine.operators import Operators
from bench.engine.overhead import Overhead
from bench.engine.steps import CONTEXT, Steps
from bench.engine.together import SESSIONS, Rates
from bench.machine import Machine
from bench.markdown import bullets, document, table

OVERHEAD_LIMIT = 0.05
_OPERATORS = 5
"""Told by name: the others together."""
REFUSAL_LIMIT_S = 0.1


@dataclass(frozen=True)
class Run:
    """A run and all that it measured."""

    machine: Machine
    models: tuple[str, str]
    dtype: str
    max_tokens: int
    repeats: int
    rate_repeats: int
    steps: Sequence[Steps]
    overheads: Sequence[Overhead]
    operators: Operators
    intrusion: Intrusion
    limits: Limits
    rates: Sequence[Rates]


def speed_up(steps: Steps) -> float:
    """How many times faster than transformers."""
    return median(steps.transformers) / median(steps.ours)


def share(overhead: Overhead) -> float:
    """What is no forward of the model, as a share of the pass: the median over repeats."""
    pairs = zip(overhead.passes, overhead.forwards, strict=True)
    return median((whole - forward) / whole for whole, forward in pairs)


def growth(rates: Rates) -> float:
    """How many times the rate of one session: the median over repeats, each in one moment."""
    return median(growths(rates))


def growths(rates: Rates) -> list[float]:
    """Of each repeat."""
    pairs = zip(rates.together, rates.alone, strict=True)
    return [together / alone for together, alone in pairs]


def findings(run: Run) -> list[str]:
    """What is out of its limit."""
    found = [
        f"{s.case.role}, {s.case.weights}, {s.case.tokens} tokens: {speed_up(s):.2f} times "
        f"transformers' speed, wanted {s.case.limit:g}"
        for s in run.steps
        if speed_up(s) < s.case.limit
    ]
    found += [
        f"{o.sessions} at once: {share(o):.1%} of a pass is overhead, at most {OVERHEAD_LIMIT:.0%}"
        for o in run.overheads
        if share(o) > OVERHEAD_LIMIT
    ]
    found += [
        f"{r.case.name}: {growth(r):.2f} times the rate of one, wanted {r.case.limit:g}"
        for r in run.rates
        if growth(r) < r.case.limit
    ]
    i = run.intrusion
    if i.longest_s > i.limit_s:
        found.append(
            f"a prompt of {i.prompt} tokens: a token waited {1e3 * i.longest_s:.0f} ms, "
            f"at most {1e3 * i.limit_s:.0f}"
        )
    pod = run.limits
    if pod.peak_bytes > pod.limit_bytes:
        found.append(f"a full pod: {_gb(pod.peak_bytes)} GB, at most {_gb(pod.limit_bytes)}")
    if not pod.waited:
        found.append("a session beyond the slots did not wait")
    if pod.refused_s > REFUSAL_LIMIT_S:
        found.append(
            f"a session beyond the queue was refused after {1e3 * pod.refused_s:.0f} ms, "
            f"wanted {1e3 * REFUSAL_LIMIT_S:.0f}"
        )
    return [f"Out of its limit: {text}" for text in found] or ["Every figure is within its limit"]


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f}"


def _where(operators: Operators) -> list[tuple[str, float]]:
    """What takes how many seconds, beside the whole pass and the reading of its weights."""
    told = list(operators.by_name.items())
    return [
        ("a pass", median(operators.passes)),
        *[(f"`{name}`", taken) for name, taken in told[:_OPERATORS]],
        ("all other operators", sum(taken for _, taken in told[_OPERATORS:])),
        ("reading the products' weights, by a plain sum", median(operators.readings)),
    ]


def to_markdown(run: Run) -> str:
    """The report for people."""
    drafter, expert = run.models
    weights, reading = run.operators.weight_bytes, median(run.operators.readings)
    return document(
        "# The engine",
        bullets(
            [
                *run.machine.lines(),
                f"Models: drafter {drafter}, expert {expert}, {run.dtype}",
                f"Medians over {run.repeats} repeats (of the rates {run.rate_repeats}), what is "
                "compared in turn, after warming up",
                *findings(run),
            ]
        ),
        "## A step",
        table(
            ["model", "weights", "tokens", "transformers, ms", "ours, ms", "times", "wanted"],
            [
                [
                    s.case.role,
                    s.case.weights,
                    s.case.tokens,
                    f"{1e3 * median(s.transformers):.1f}",
                    f"{1e3 * median(s.ours):.1f}",
                    f"{speed_up(s):.2f}",
                    f"{s.case.limit:g}",
                ]
                for s in run.steps
            ],
        ),
        f"One session behind {CONTEXT} tokens. transformers: `nn.Linear` in {run.dtype}, its own "
        "cache and attention.",
        "## What the engine adds to a pass",
        table(
            ["sessions", "pass, ms", "model's forward, ms", "overhead", "at most"],
            [
                [
                    o.sessions,
                    f"{1e3 * median(o.passes):.1f}",
                    f"{1e3 * median(o.forwards):.1f}",
                    f"{share(o):.1%}",
                    f"{OVERHEAD_LIMIT:.0%}",
                ]
                for o in run.overheads
            ],
        ),
        "The expert decodes one token in each session. The pass is all of it: choosing, packing, "
        "the model, sampling, the messages; the forward is the same packed input once more.",
        f"## Where a pass over {DECODING} sessions goes",
        table(["", "ms"], [[name, f"{1e3 * taken:.1f}"] for name, taken in _where(run.operators)]),
        "The expert decodes one token in each session. Operators: torch's profile of it, each "
        f"without those that it calls. The weights of the products are {_gb(weights)} GB: a plain "
        f"sum, in turn with the passes, reads {weights / 1e9 / reading:.1f} GB/s.",
        f"## A prompt of {run.intrusion.prompt:,} tokens among {intrusion.SESSIONS} sessions",
        table(
            ["", "ms"],
            [
                ["between two tokens of a session before", f"{1e3 * run.intrusion.interval_s:.0f}"],
                ["the prompt's longest pass, alone", f"{1e3 * run.intrusion.chunk_s:.0f}"],
                ["longest wait of a token meanwhile", f"{1e3 * run.intrusion.longest_s:.0f}"],
                ["at most: two intervals and a pass", f"{1e3 * run.intrusion.limit_s:.0f}"],
                ["the prompt's first token, alone", f"{1e3 * run.intrusion.alone_s:.0f}"],
                ["the same, among them", f"{1e3 * run.intrusion.among_s:.0f}"],
            ],
        ),
        "## A full pod",
        table(
            ["the expert's, GB", ""],
            [
                ["weights, every copy", _gb(run.limits.weight_bytes)],
                ["budget of the cache", _gb(run.limits.cache_bytes)],
                ["resident before the first session", _gb(run.limits.loaded_bytes)],
                ["the most resident", _gb(run.limits.peak_bytes)],
                ["at most: weights, budget and 1 GiB", _gb(run.limits.limit_bytes)],
            ],
        ),
        f"{limits.SLOTS} sessions fill {run.limits.filled_tokens:,} of {run.limits.cache_tokens:,} "
        f"tokens. The next one waits until one has gone; beyond {limits.WAITING} waiting ones a "
        f"session was refused after {1e3 * run.limits.refused_s:.1f} ms.",
        f"## {SESSIONS} sessions at once",
        table(
            ["mode", "one, tokens/s", f"{SESSIONS}, tokens/s", "times", "of each repeat", "wanted"],
            [
                [
                    r.case.name,
                    f"{median(r.alone):.1f}",
                    f"{median(r.together):.1f}",
                    f"{growth(r):.2f}",
                    ", ".join(f"{times:.2f}" for times in growths(r)),
                    f"{r.case.limit:g}",
                ]
                for r in run.rates
            ],
        ),
        f"HumanEval, {run.max_tokens} tokens an answer, greedy, through the router, all processes "
        "on this machine; tokens a second while all sessions decode. In `SPECULATIVE` the router "
        "lets the expert go on alone where that makes more, unless it says never.",
    )


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs: seconds, and tokens a second."""
    return {
        "machine": run.machine.to_json(),
        "models": run.models,
        "dtype": run.dtype,
        "max_tokens": run.max_tokens,
        "findings": findings(run),
        "steps": [
            {
                "role": s.case.role,
                "weights": s.case.weights,
                "tokens": s.case.tokens,
                "transformers_s": s.transformers,
                "ours_s": s.ours,
                "times": speed_up(s),
            }
            for s in run.steps
        ],
        "overheads": [
            {
                "sessions": o.sessions,
                "pass_s": o.passes,
                "forward_s": o.forwards,
                "share": share(o),
            }
            for o in run.overheads
        ],
        "operators": asdict(run.operators),
        "intrusion": asdict(run.intrusion),
        "limits": asdict(run.limits),
        "rates": [
            {
                "mode": r.case.name,
                "alone": r.alone,
                "together": r.together,
                "times": growth(r),
            }
            for r in run.rates
        ],
    }
