"""In which order the answers are measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.prompts import Prompt
from bench.speed.systems import System

_SPARE = 2 << 30
"""Bytes for what lies beside the weights: four processes, caches, activations."""


@dataclass(frozen=True)
class Turn:
    """One answer to be measured."""

    repeat: int
    prompt: Prompt
    system: System


def turns(systems: Sequence[System], prompts: Sequence[Prompt], repeats: int) -> Iterator[Turn]:
    """Every system on every prompt, ``repeats`` times.

    The systems take turns at each prompt, beginning with another one each time, so that a machine
    that slows down or speeds up does so for all of them.
    """
    for repeat in range(repeats):
        for i, prompt in enumerate(prompts):
            first = repeat * len(prompts) + i
            for j in range(len(systems)):
                yield Turn(repeat, prompt, systems[(first + j) % len(systems)])


def fits_together(weights_bytes: int, available_bytes: int) -> bool:
    """Whether transformers and the services can hold their weights at the same time."""
    return int(2 * weights_bytes * 1.05) + _SPARE <= available_bytes


def groups(systems: Sequence[System], together: bool) -> list[list[System]]:
    """The systems that are in memory at the same time: all, or theirs and then ours."""
    if together:
        return [list(systems)]
    parts = [[s for s in systems if s.is_ours is ours] for ours in (False, True)]
    return [part for part in parts if part]
