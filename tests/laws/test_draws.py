"""Draws of the functions that the services call, against the enumerated law.

Every rule in each of its forms, temperatures 0.7 and 1, with and without top-p, K of 8 and 64; a
million draws for each with the mark ``laws``, fewer in the suite.  Each G-test has a false-alarm
rate of ``ALARM`` (``tests.laws.gtest``), which is below 1e-6 for all of them together.
"""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from services.rules.distribution import Sampling
from services.rules.law import Law
from tests.laws.crossing import VARIANTS, make_law, name
from tests.laws.draws import (
    draw_answers,
    draw_bonus,
    draw_drafter,
    draw_expert,
    draw_token_cascade,
    in_chunks,
)
from tests.laws.enumeration import joint, positions
from tests.laws.gtest import ALARM, p_value
from tests.laws.tables import Tables, random_tables

DRAWS, FEW = 1_000_000, 30_000
SIZES = {8: 11, 64: 70}
"""V for each K: both cut something."""
# In the middle of each rule's range, where it neither keeps nor defers everything.
ALPHAS = {
    "lossless": 0.0,
    "lossy": 0.4,
    "bild": 2.0,
    "ensemble": 0.4,
    "chow": 0.75,
    "chow_log": 1.6,
    "diff": 0.0,
    "opt": 0.3,
    "token_v1": 0.1,
    "token_v2": 0.1,
    "token_v3": 0.6,
}
SETTINGS = [
    (temperature, top_p, k) for temperature in (0.7, 1.0) for top_p in (1.0, 0.9) for k in SIZES
]
MANY = [FEW, pytest.param(DRAWS, marks=[pytest.mark.laws, pytest.mark.timeout(1200)])]


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
    depth, size = len(conditionals), conditionals[0].shape[-1]
    shape = (size,) * depth
    counts = torch.bincount(cells, minlength=size**depth).view(shape)
    law = joint(conditionals).view(shape)
    for window in windows(depth):
        others = [d for d in range(depth) if not window.start <= d < window.stop]
        observed, expected = (t.sum(others) if others else t for t in (counts, law))
        value = p_value(observed.flatten().numpy(), expected.flatten().numpy())
        assert value > ALARM, f"tokens {window.start} to {window.stop}: p-value {value:.1e}"


def pair(seed: int, size: int, depth: int) -> Tables:
    return random_tables(seed, size, depth, dtype=torch.float32)


@pytest.mark.parametrize("draws", MANY)
@pytest.mark.parametrize(("rule", "variant"), VARIANTS, ids=str)
def test_every_rule_and_form(rule: str, variant: dict[str, bool], draws: int) -> None:
    """Blocks of one and of two tokens; the law is joint over two."""
    for number, (temperature, top_p, k) in enumerate(SETTINGS):
        law = make_law(rule, ALPHAS[rule], Sampling(temperature, 0, top_p), k, **variant)
        tables = pair(number, SIZES[k], 2)
        block = 1 + number % 2
        cells = in_chunks(partial(draw_answers, tables, law, block), draws, draws)
        try:
            check(cells, [at.pi for at in positions(tables, law)])
        except AssertionError as error:
            raise AssertionError(f"{name(law)}: {error}") from error


def mid(rule: str, k: int = 5, *, coupled: bool = False) -> Law:
    return make_law(rule, ALPHAS[rule], Sampling(1.0), k, coupled=coupled)


@pytest.mark.parametrize("draws", [DRAWS // 3, pytest.param(DRAWS, marks=pytest.mark.laws)])
@pytest.mark.parametrize("block", [2, 4])
@pytest.mark.parametrize("rule", ["lossless", "token_v3", "opt"])
def test_long_blocks(rule: str, block: int, draws: int) -> None:
    law, tables = mid(rule), pair(block, 6, block + 1)
    cells = in_chunks(partial(draw_answers, tables, law, block), draws, draws)
    check(cells, [at.pi for at in positions(tables, law)])


@pytest.mark.parametrize("draws", MANY)
@pytest.mark.parametrize("rule", ["chow", "chow_log"])
def test_token_cascade(rule: str, draws: int) -> None:
    for number, (temperature, top_p, k) in enumerate(SETTINGS):
        law = make_law(rule, ALPHAS[rule], Sampling(temperature, 0, top_p), k)
        tables = pair(100 + number, SIZES[k], 2)
        cells = in_chunks(partial(draw_token_cascade, tables, law), draws, draws)
        check(cells, [at.pi for at in positions(tables, law)])


@pytest.mark.parametrize("draws", MANY)
def test_a_coupled_bonus(draws: int) -> None:
    law, tables = mid("lossless", coupled=True), pair(8, 8, 2)
    cells = in_chunks(partial(draw_bonus, tables, law), draws, draws)
    check(cells, [at.p for at in positions(tables, law)])


def test_coupled_answers_are_the_experts_own() -> None:
    """Not in law alone: token for token."""
    law, tables = mid("lossless", coupled=True), pair(5, 8, 3)
    for block in (1, 2, 3):
        cells = in_chunks(partial(draw_answers, tables, law, block), FEW, 7)
        own = in_chunks(partial(draw_expert, tables, law), FEW, 7)
        assert torch.equal(cells, own)


def test_expert_alone() -> None:
    tables, law = pair(8, 6, 3), mid("lossless")
    cells = in_chunks(partial(draw_expert, tables, law), DRAWS, 2 * DRAWS)
    check(cells, [at.p for at in positions(tables, law)])


def test_drafter_alone() -> None:
    tables, law = pair(9, 6, 3), mid("lossless")
    cells = in_chunks(partial(draw_drafter, tables, law), DRAWS, 3 * DRAWS)
    check(cells, [at.q for at in positions(tables, law)])
