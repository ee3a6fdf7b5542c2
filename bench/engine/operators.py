"""Where a pass of decoding goes, by torch's operators, and the least that its reading takes.

A pass of few rows reads all weights of its products once.  How long memory takes for as many bytes
is told by a plain sum over a buffer, on the same threads and in turn with the passes: what memory
gives changes within minutes where others share it.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM

from bench.progress import Bar
from services.engine.batch import Part
from services.engine.model import Model

SESSIONS = 6
CONTEXT = 128
"""Tokens that each session has seen before."""
_BUFFER = 1 << 28
"""Numbers of the buffer that is summed up, 4 bytes each: no cache holds it."""


@dataclass
class Operators:
    """Seconds of each repeat, and of a pass by operator."""

    weight_bytes: int
    """That the products of a pass read."""
    passes: list[float] = field(default_factory=list)
    readings: list[float] = field(default_factory=list)
    """Of as many bytes, by a plain sum."""
    by_name: dict[str, float] = field(default_factory=dict)
    """Mean seconds of a pass in each operator, without those that it calls: the longest first."""


def measure(model: Model, folder: Path, repeats: int, bar: Bar) -> Operators:
    """Passes that decode a token in each session, in turn with plain sums; then the profile.

    Args:
        model: as ``load`` gives it.
        folder: where it was loaded from.
        repeats: of each.
        bar: one step of it.
    """
    bar.say(f"operators: {SESSIONS} at once")
    found = Operators(weight_bytes(folder, model.facts.weights))
    slots = [model.new_slot() for _ in range(SESSIONS)]
    for number, slot in enumerate(slots):
        model.forward(slot, range(number, number + CONTEXT), 1)
    buffer = torch.ones(_BUFFER)

    def decode() -> float:
        for slot in slots:
            slot.truncate(CONTEXT)
            assert slot.reserve(1), "the cache has room for them"
        start = time.perf_counter()
        model.run([Part(slot, [1], 1) for slot in slots])
        return time.perf_counter() - start

    def read() -> float:
        start = time.perf_counter()
        buffer.sum()
        return (time.perf_counter() - start) * found.weight_bytes / buffer.nbytes

    with torch.inference_mode():
        for repeat in range(-2, repeats):
            taken = decode(), read()
            if repeat >= 0:
                found.passes.append(taken[0])
                found.readings.append(taken[1])
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(repeats):
                decode()
    operators = profiler.key_averages()
    by_name = {o.key: o.self_cpu_time_total / 1e6 / repeats for o in operators}
    found.by_name = dict(sorted(by_name.items(), key=lambda item: -item[1]))
    for slot in slots:
        slot.truncate(0)
    bar.advance()
    return found


def weight_bytes(folder: Path, kept_in: str) -> int:
    """Bytes of all weights that are multiplied with.

    Args:
        folder: of the model.
        kept_in: ``ModelFacts.weights``, one of its dtypes.
    """
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    count = sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))
    return count * torch.empty(0, dtype=getattr(torch, kept_in)).element_size()
