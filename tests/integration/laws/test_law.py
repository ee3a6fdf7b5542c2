"""The law of the first two tokens through the real services, against the models' own logits.

Each G-test has a false-alarm rate of 1e-9 (``tests.laws.gtest``).  In the suite four cells, which
are enough to tell their laws apart; with the mark every mode and rule whose law is one of tokens,
with more requests.
"""

import asyncio
from collections import Counter
from typing import Any

import pytest
from cascade.v1 import law_pb2

from services.serving.law import rule_name
from tests.client import connected
from tests.laws.gtest import ALARM, LEAST, p_value
from tests.laws.laws import BY_TOKEN, Cell, request_fields
from tests.laws.tiny import logits, model
from tests.oracle import rules
from tests.oracle.distribution import Scaling, drafted, scaled, softmax
from tests.oracle.rules import Position, known_q1
from tests.services import Services

# As a first token, the end token is likely here, and so are many others.
PROMPT = list(b"Return a name.")
TEMPERATURE, K = 1.0, 64
AT_ONCE = 32
REQUESTS_IN_SUITE = 3_000
REQUESTS = 20_000
CASCADE = law_pb2.MODE_SPECULATIVE_CASCADE
IN_SUITE = [
    Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS),
    Cell(CASCADE, law_pb2.RULE_TOKEN_V3, 0.8),
    Cell(CASCADE, law_pb2.RULE_OPT, 0.4),
    Cell(law_pb2.MODE_TOKEN_CASCADE, law_pb2.RULE_CHOW, 0.5),
]

OTHER = -1
Law = dict[tuple[int, ...], float]
"""Chances of answers by their tokens, the end token included; OTHER is every other token."""


def target(cell: Cell, prefix: list[int]) -> list[float]:
    """The law of the token after a prefix, by the oracle."""
    drafter, expert = (logits(name, prefix)[-1].tolist() for name in ("drafter", "expert"))
    scaling = Scaling(TEMPERATURE)
    q1, p1 = softmax(drafter), softmax(expert)
    at = Position(q1, p1, drafted(drafter, scaling, K), scaled(expert, scaling))
    match cell.mode:
        case law_pb2.MODE_DRAFTER:
            return at.q
        case law_pb2.MODE_EXPERT:
            return at.p
    rule = rule_name(cell.rule)
    if rule == "token_v1" and not cell.gate:
        at = Position(known_q1(at, TEMPERATURE), p1, at.q, at.p)
    return rules.target(rule, cell.alpha, at)


def two_tokens(cell: Cell, n: int) -> Law:
    """The law of answers of two tokens; what is not expected often enough in n draws is pooled."""
    law: Law = {}
    for first, chance in enumerate(target(cell, PROMPT)):
        if n * chance < LEAST:
            continue
        if first in model("expert").facts.end_token_ids:
            law[(first,)] = chance
            continue
        for second, share in enumerate(target(cell, [*PROMPT, first])):
            if n * chance * share >= LEAST:
                law[first, second] = chance * share
        law[first, OTHER] = chance - sum(law[pair] for pair in law if pair[0] == first)
    law[(OTHER,)] = 1 - sum(law.values())
    return law


async def draw(address: str, cell: Cell, n: int, first_seed: int) -> Counter[tuple[int, ...]]:
    """Answers of n requests, by blocks of several lengths in turn."""
    counts: Counter[tuple[int, ...]] = Counter()
    seeds = iter(range(first_seed, first_seed + n))
    async with connected(address) as client:

        async def requests() -> None:
            for seed in seeds:
                fields: dict[str, Any] = request_fields(
                    cell.law(TEMPERATURE, seed=seed, candidates=K)
                )
                result = await client.generate(
                    prompt=PROMPT,
                    max_tokens=2,
                    block_length=1 + seed % 3,
                    draft_ahead=int(seed % 4 == 0),
                    alternatives=2 * (seed % 8 == 0),
                    early_stop=0.5 * (seed % 5 > 2),
                    **fields,
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


async def check(services: Services, cell: Cell, n: int) -> None:
    """The answers follow the cell's law, and not that of the next cell."""
    law = two_tokens(cell, n)
    assert len(law) >= 10, "too few cells to show anything"
    counts = await draw(services.address, cell, n, first_seed=n)
    assert counts.total() == n
    assert value(counts, law) > ALARM
    # The test has the power to tell laws apart.
    other = IN_SUITE[(IN_SUITE.index(cell) + 1) % len(IN_SUITE)] if cell in IN_SUITE else None
    if other:
        assert value(counts, two_tokens(other, n)) < ALARM


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cell", IN_SUITE, ids=str)
async def test_the_services_follow_the_law(tiny_services: Services, cell: Cell) -> None:
    await check(tiny_services, cell, REQUESTS_IN_SUITE)


@pytest.mark.laws
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cell", BY_TOKEN, ids=str)
async def test_every_cell_follows_the_law(tiny_services: Services, cell: Cell) -> None:
    await check(tiny_services, cell, REQUESTS)
