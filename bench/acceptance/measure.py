"""Measures all laws on one pair of models."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.acceptance import drafting
from bench.acceptance.batch import make_batch
from bench.acceptance.cases import Case
from bench.acceptance.drafting import Block
from bench.acceptance.steps import Timed
from bench.acceptance.summary import Growth, Summary, growth, summarise
from bench.acceptance.verifying import Expert
from bench.pair import Pair
from bench.progress import Bar
from bench.prompts import Prompt
from services.engine.model import load

BLOCK_LENGTHS = (5, 6)
CONTEXT = 128
"""Tokens before a block."""
SESSIONS = 16
"""In one call of the rules' procedure."""


@dataclass(frozen=True)
class Drafted:
    """Contexts and the blocks after them, as the drafter made them."""

    contexts: list[list[int]]
    blocks: Mapping[Case, list[Block]]
    """Of each law, one for each context, each of the greatest length."""


@dataclass(frozen=True)
class Measured:
    """What was measured."""

    steps: Mapping[tuple[Case, int], Summary]
    """By law and block length."""
    batches: Mapping[Case, Growth]
    """The rules' procedure alone, at the greatest block length."""


def draft(pair: Pair, prompts: Sequence[Prompt], cases: Sequence[Case]) -> Drafted:
    """Drafts for every law; the drafter is in memory only meanwhile.

    Raises:
        ModelUnsupported: the engine can't run the model.
    """
    model = load(pair.drafter, device="cpu", dtype=pair.dtype)
    contexts = drafting.contexts(model, prompts, cases[0], CONTEXT)
    drafted = Drafted(contexts, drafting.blocks(model, contexts, cases, max(BLOCK_LENGTHS)))
    del model
    gc.collect()
    return drafted


def measure(
    expert: Expert, drafted: Drafted, cases: Sequence[Case], repeats: int, bar: Bar
) -> Measured:
    """Times passes and what follows them, then the procedure alone.

    Every time of the work after a pass has a pass just before it, which has read all weights, so
    that the processor's caches are as they are in a pod.  Laws and lengths take turns, so that a
    machine that slows down or speeds up does so for all of them.
    """
    timed: dict[tuple[Case, int], list[Timed]] = {
        (case, length): [] for case in cases for length in BLOCK_LENGTHS
    }
    # The first round is a warm-up: it makes what is made once.
    for repeat in range(-1, repeats):
        i = repeat % len(drafted.contexts)
        for (case, length), times in timed.items():
            bar.say(case.name)
            found = expert.verify(case, i, drafted.blocks[case][i][:length])
            if repeat >= 0:
                times.append(found)
        bar.advance()
    steps = {
        (case, length): summarise(length + expert.law(case, 0).law.allows_bonus, times)
        for (case, length), times in timed.items()
    }
    batches = {}
    for case in cases:
        bar.say(f"{case.name}: {SESSIONS} sessions")
        batches[case] = _growth(expert, case, drafted.blocks[case], repeats)
        bar.advance()
    return Measured(steps, batches)


def _growth(expert: Expert, case: Case, blocks: Sequence[Block], repeats: int) -> Growth:
    batch = make_batch(expert, case, blocks, SESSIONS)
    alone: list[float] = []
    together: list[float] = []
    for repeat in range(-1, repeats):
        one_by_one, at_once = batch.alone(), batch.together()
        if repeat >= 0:
            alone.append(one_by_one)
            together.append(at_once)
    return growth(SESSIONS, alone, together)
