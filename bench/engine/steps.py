"""The time of a step: transformers as it comes beside our engine, in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from bench.progress import Bar
from services.engine.batch import Part
from services.engine.model import DTYPES, Model, load
from services.engine.weights import Weights

CONTEXT = 128
"""Tokens that the model has seen before the step."""

Run = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """A step of one model."""

    role: str
    weights: Weights
    tokens: int
    """Fed."""
    limit: float
    """How many times faster than transformers it has to be."""


@dataclass
class Steps:
    """Seconds of each repeat."""

    case: Case
    transformers: list[float] = field(default_factory=list)
    """``nn.Linear``, in the dtype."""
    ours: list[float] = field(default_factory=list)


def measure(
    folders: dict[str, Path], dtype: str, cases: Sequence[Case], repeats: int, bar: Bar
) -> list[Steps]:
    """Runs every case and transformers in turn, after two that are left out."""
    found = []
    for role, folder in folders.items():
        mine = [case for case in cases if case.role == role]
        bar.say(f"loading the {role}")
        theirs = _transformers(folder, dtype, {case.tokens for case in mine})
        models = {
            weights: load(folder, device="cpu", dtype=dtype, weights=weights)
            for weights in dict.fromkeys(case.weights for case in mine)
        }
        for case in mine:
            bar.say(f"{role}: {case.weights}, {case.tokens} at once")
            steps, ours = Steps(case), _ours(models[case.weights], case.tokens)
            for repeat in range(-2, repeats):
                times = _timed(theirs[case.tokens]), _timed(ours)
                if repeat >= 0:
                    steps.transformers.append(times[0])
                    steps.ours.append(times[1])
            found.append(steps)
            bar.advance()
    return found


def _timed(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _transformers(folder: Path, dtype: str, sizes: set[int]) -> dict[int, Run]:
    """For each number of tokens a step behind a context, as ``generate`` makes it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype]).eval()
    cache = DynamicCache(config=model.config)

    @torch.inference_mode()
    def feed(tokens: int) -> None:
        if (beyond := cache.get_seq_length() - CONTEXT) > 0:
            cache.crop(-beyond)
        ids = torch.arange(tokens).unsqueeze(0)
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=tokens)

    feed(CONTEXT)
    return {size: partial(feed, size) for size in sizes}


def _ours(model: Model, tokens: int) -> Run:
    slot = model.new_slot()
    model.forward(slot, range(CONTEXT), 1)

    def run() -> None:
        slot.truncate(CONTEXT)
        assert slot.reserve(tokens), "the cache has room for one session"
        model.run([Part(slot, range(tokens), tokens)])

    return run
