"""Measures the systems in turn, on one prompt at a time and on several at once."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.answer import Answer
from bench.progress import Bar
from bench.prompts import Prompt
from bench.streams.engines import Ask
from bench.streams.systems import System


@dataclass
class Batch:
    """Prompts that are asked at once, and how each system did."""

    prompts: Sequence[Prompt]
    answers: dict[System, list[list[Answer]]] = field(default_factory=dict)
    """Of each repeat, one for each prompt."""
    wall_s: dict[System, list[float]] = field(default_factory=dict)
    """From asking to the end of the last answer, of each repeat."""


def batches(prompts: Sequence[Prompt], streams: int) -> list[Batch]:
    """The prompts, ``streams`` at a time; the last are filled up with the first."""
    starts = range(0, len(prompts), streams)
    return [
        Batch([prompts[(start + i) % len(prompts)] for i in range(streams)]) for start in starts
    ]


def measure(
    asks: Mapping[System, Ask],
    of: Sequence[Batch],
    warm_up: Prompt,
    max_tokens: int,
    repeats: int,
    bar: Bar,
) -> None:
    """Every system on every batch, taking turns, each time beginning with another.

    Those that do not answer so many at once are left out.
    """
    systems = [system for system in asks if system.answers(len(of[0].prompts))]
    if not systems:
        return
    for system in systems:
        bar.say(f"warming up: {system.label}")
        asks[system]([warm_up.token_ids] * len(of[0].prompts), 16)
    turn = 0
    for _ in range(repeats):
        for batch in of:
            for system in systems[turn % len(systems) :] + systems[: turn % len(systems)]:
                bar.say(f"{len(batch.prompts)} at once: {system.label}")
                start = time.perf_counter()
                found = asks[system]([prompt.token_ids for prompt in batch.prompts], max_tokens)
                batch.wall_s.setdefault(system, []).append(time.perf_counter() - start)
                batch.answers.setdefault(system, []).append(found)
                bar.advance()
            turn += 1


@dataclass(frozen=True)
class Rates:
    """One system over all batches."""

    tokens: int
    tokens_per_s: float
    """All tokens by all time, of each batch the repeat of median time."""
    slowest_per_s: float
    """Of the slowest repeat."""
    fastest_per_s: float
    first_ms: float
    """Time to the first token, median over all answers."""


def rates(of: Sequence[Batch], system: System) -> Rates:
    """The figures of a system that has answered."""
    counts = [
        [sum(len(answer.token_ids) for answer in found) for found in batch.answers[system]]
        for batch in of
    ]
    walls = [batch.wall_s[system] for batch in of]
    by_repeat = [
        sum(tokens) / sum(took)
        for tokens, took in zip(zip(*counts, strict=True), zip(*walls, strict=True), strict=True)
    ]
    typical = [_middle(took) for took in walls]
    tokens = sum(count[i] for count, i in zip(counts, typical, strict=True))
    firsts = [answer.first_s for batch in of for found in batch.answers[system] for answer in found]
    return Rates(
        tokens=tokens,
        tokens_per_s=tokens / sum(took[i] for took, i in zip(walls, typical, strict=True)),
        slowest_per_s=min(by_repeat),
        fastest_per_s=max(by_repeat),
        first_ms=1000 * median(firsts),
    )


def _middle(values: Sequence[float]) -> int:
    """Where the median is; of an even number, the smaller of the middle two."""
    return sorted(range(len(values)), key=lambda i: values[i])[(len(values) - 1) // 2]
