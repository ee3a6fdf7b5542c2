"""The law of the first two tokens through the real services, against the models' own logits.

Six G-tests, each with a false-alarm rate of 1e-8 (``tests.laws.gtest``).
"""

import asyncio
from collections import Counter
from typing import Any

import pytest
import torch
from cascade.v1 import law_pb2
from torch import Tensor

from services.rules.distribution import Sampling, candidates, scaled
from services.rules.targets import TARGETS
from tests.client import connected
from tests.laws.gtest import ALARM, LEAST, p_value
from tests.laws.tiny import logits, model
from tests.services import Services

# As a first token, the end token is likely here, and so are many others.
PROMPT = list(b"Return a name.")
SAMPLING = Sampling(1.0)
K = 64
AT_ONCE = 16
RULES = {"lossless": 0.0, "token_v3": 0.8}
MODES: dict[str, dict[str, Any]] = {
    "lossless": {"mode": law_pb2.MODE_SPECULATIVE},
    "token_v3": {"mode": law_pb2.MODE_SPECULATIVE_CASCADE, "alpha": RULES["token_v3"]},
}

OTHER = -1
Law = dict[tuple[int, ...], float]
"""Chances of answers by their tokens, the end token included; OTHER is every other token."""


def target(rule: str, prefix: list[int]) -> Tensor:
    """``pi`` after a prefix: float64 [V]."""
    drafter, expert = (logits(name, prefix)[-1].double() for name in ("drafter", "expert"))
    q = candidates(drafter, SAMPLING, K).dense(len(drafter), torch.float64)
    return TARGETS[rule](None, expert.softmax(-1), q, scaled(expert, SAMPLING), RULES[rule])


def two_tokens(rule: str, n: int) -> Law:
    """The law of answers of two tokens; what is not expected often enough in n draws is pooled."""
    law: Law = {}
    for first, chance in enumerate(target(rule, PROMPT).tolist()):
        if n * chance < LEAST:
            continue
        if first in model("expert").facts.end_token_ids:
            law[(first,)] = chance
            continue
        for second, share in enumerate(target(rule, [*PROMPT, first]).tolist()):
            if n * chance * share >= LEAST:
                law[first, second] = chance * share
        law[first, OTHER] = chance - sum(law[pair] for pair in law if pair[0] == first)
    law[(OTHER,)] = 1 - sum(law.values())
    return law


async def draw(address: str, rule: str, n: int, first_seed: int) -> Counter[tuple[int, ...]]:
    """Answers of n requests, by blocks of several lengths in turn."""
    counts: Counter[tuple[int, ...]] = Counter()
    seeds = iter(range(first_seed, first_seed + n))
    async with connected(address) as client:

        async def requests() -> None:
            for seed in seeds:
                result = await client.generate(
                    prompt=PROMPT,
                    temperature=SAMPLING.temperature,
                    candidates=K,
                    max_tokens=2,
                    block_length=1 + seed % 3,
                    seed=seed,
                    **MODES[rule],
                )
                counts[tuple(result.ids)] += 1

        await asyncio.gather(*(requests() for _ in range(AT_ONCE)))
    return counts


def value(counts: Counter[tuple[int, ...]], law: Law) -> float:
    """The p-value of the answers."""
    cells: Counter[tuple[int, ...]] = Counter()
    for answer, count in counts.items():
        cell = next(c for c in (answer, (answer[0], OTHER), (OTHER,)) if c in law)
        cells[cell] += count
    return p_value([cells[cell] for cell in law], list(law.values()))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.laws)])
@pytest.mark.parametrize("rule", RULES)
async def test_the_services_follow_the_law(tiny_services: Services, rule: str, n: int) -> None:
    law = two_tokens(rule, n)
    assert len(law) >= 10, "too few cells to show anything"
    counts = await draw(tiny_services.address, rule, n, first_seed=n)
    assert counts.total() == n
    assert value(counts, law) > ALARM
    # The test has the power to tell the rules apart.
    other = next(name for name in RULES if name != rule)
    assert value(counts, two_tokens(other, n)) < ALARM
