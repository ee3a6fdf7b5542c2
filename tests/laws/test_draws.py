"""A million draws of the functions that the services call, against the enumerated law.

In the suite a million for each law, shared by the block lengths; marked ``laws``, a million for
each block length.  Thirty-two G-tests in all, each with a false-alarm rate of 1e-8
(``tests.laws.gtest``): 3.2e-7 together.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from services.rules.distribution import Sampling
from tests.laws.draws import draw_answers, draw_drafter, draw_expert, in_chunks
from tests.laws.enumeration import Law, joint, positions
from tests.laws.gtest import ALARM, p_value
from tests.laws.tables import Tables, random_tables

DRAWS = 1_000_000
V, K = 6, 5
LAWS = [
    Law("lossless", 0.0, Sampling(1.0), K),
    Law("token_v3", 0.5, Sampling(1.0), K),
    Law("token_v3", 0.9, Sampling(1.0), K),
]


def windows(depth: int) -> Iterator[slice]:
    """Which tokens are tested jointly: all, and, where these are many, the first and last three.

    A mistake of one per cent is plain in 216 cells and drowns in 7776.
    """
    yield slice(0, depth)
    if depth > 3:
        yield slice(0, 3)
        yield slice(depth - 3, depth)


def check(cells: Tensor, conditionals: list[Tensor]) -> None:
    """Every window's law."""
    depth = len(conditionals)
    shape = (V,) * depth
    counts = torch.bincount(cells, minlength=V**depth).view(shape)
    law = joint(conditionals).view(shape)
    for window in windows(depth):
        others = [d for d in range(depth) if not window.start <= d < window.stop]
        observed, expected = (t.sum(others) if others else t for t in (counts, law))
        value = p_value(observed.flatten().numpy(), expected.flatten().numpy())
        assert value > ALARM, f"tokens {window.start} to {window.stop}: p-value {value:.1e}"


def pair(seed: int, depth: int) -> Tables:
    return random_tables(seed, V, depth, dtype=torch.float32)


@pytest.mark.parametrize("draws", [DRAWS // 3, pytest.param(DRAWS, marks=pytest.mark.laws)])
@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("law", LAWS, ids=str)
def test_drafted_and_verified(law: Law, block: int, draws: int) -> None:
    tables = pair(block, block + 1)
    cells = in_chunks(lambda seeds: draw_answers(tables, law, block, seeds), draws, draws)
    check(cells, [at.pi for at in positions(tables, law)])


def test_expert_alone() -> None:
    tables, law = pair(8, 3), LAWS[0]
    cells = in_chunks(lambda seeds: draw_expert(tables, law, seeds), DRAWS, 2 * DRAWS)
    check(cells, [at.p for at in positions(tables, law)])


def test_drafter_alone() -> None:
    tables, law = pair(9, 3), LAWS[0]
    cells = in_chunks(lambda seeds: draw_drafter(tables, law, seeds), DRAWS, 3 * DRAWS)
    check(cells, [at.q for at in positions(tables, law)])
