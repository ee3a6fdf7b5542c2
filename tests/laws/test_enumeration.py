"""Exact laws of random small pairs: the procedure against the oracle's targets, for every rule.

3,000 pairs in batches of one size and one setting; each rule in each of its forms on each of them.
"""

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from services.rules.distribution import Sampling
from services.rules.law import Form, Law
from services.rules.registry import RULES
from tests.laws.crossing import VARIANTS, make_law, name
from tests.laws.enumeration import Procedure, distance, joint, positions
from tests.laws.tables import Tables, random_tables, stacked
from tests.oracle.distribution import Scaling, drafted, scaled, softmax
from tests.oracle.rules import Position, Row, decisions, known_q1, target, tv

PAIRS, BATCH = 3_000, 50
# Size and block: the tables cover the block and the token after it.
SHAPES = [(3, 1), (5, 1), (6, 1), (8, 1), (3, 2), (4, 2), (5, 2), (6, 2), (3, 3), (4, 3)]
ALPHAS = {
    "lossless": (0.0, 0.0),
    "lossy": (0.0, 0.95),
    "bild": (0.0, 4.0),
    "ensemble": (0.0, 1.0),
    "chow": (0.0, 1.0),
    "chow_log": (0.0, 2.0),
    "diff": (-1.0, 1.0),
    "opt": (0.0, 0.999),  # at 1 the two sides can be equal, and rounding would decide
    "token_v1": (-1.0, 1.0),
    "token_v2": (-1.0, 1.0),
    "token_v3": (0.0, 1.0),
}


@dataclass(frozen=True)
class Batch:
    """Pairs of one size and setting, and the oracle's distributions at every prefix."""

    tables: Tables
    block: int
    sampling: Sampling
    k: int
    rng: random.Random
    oracle: list[list[list[Position]]]
    """By depth, pair and prefix."""

    def alpha(self, rule: str) -> float:
        """Anywhere in the rule's range, its ends not seldom."""
        low, high = ALPHAS[rule]
        return self.rng.choice([low, high, *[self.rng.uniform(low, high)] * 6])

    def pi(self, law: Law) -> list[Tensor]:
        """The oracle's targets: [pairs, V ** d, V] for each depth."""
        return [
            torch.tensor([[_target(law, at) for at in pair] for pair in depth], dtype=torch.float64)
            for depth in self.oracle
        ]


def _target(law: Law, at: Position) -> Row:
    if law.rule.name == "token_v1" and law.form is Form.RESIDUAL:
        at = Position(known_q1(at, law.sampling.temperature), at.p1, at.q, at.p)
    return target(law.rule.name, law.alpha, at)


def make_batch(number: int) -> Batch:
    """Ties and impossible tokens in some; in the others K, top-k and top-p cut."""
    rng = random.Random(number)
    size, block = SHAPES[number % len(SHAPES)]
    awkward = number % 3 == 0
    temperature = (0.0, 0.7, 1.0)[number // 3 % 3]
    sampling, k = Sampling(temperature), size
    if not awkward:
        sampling = Sampling(temperature, rng.choice([0, 0, 2, 3]), rng.choice([1.0, 0.9, 0.5]))
        k = rng.choice([size, size - 1, rng.randint(1, size)])
    pairs = [
        random_tables(number * BATCH + i, size, block + 1, awkward=awkward) for i in range(BATCH)
    ]
    scaling = Scaling(temperature, sampling.top_k, sampling.top_p)
    tables = stacked(pairs)

    def position(drafter: Row, expert: Row) -> Position:
        return Position(
            softmax(drafter), softmax(expert), drafted(drafter, scaling, k), scaled(expert, scaling)
        )

    oracle = [
        [
            [position(q, p) for q, p in zip(*rows, strict=True)]
            for rows in zip(drafters.tolist(), experts.tolist(), strict=True)
        ]
        for drafters, experts in zip(tables.drafter, tables.expert, strict=True)
    ]
    return Batch(tables, block, sampling, k, rng, oracle)


@pytest.mark.parametrize("number", range(PAIRS // BATCH))
def test_block_and_next_token_follow_the_target(number: int) -> None:
    batch = make_batch(number)
    for rule, variant in VARIANTS:
        law = make_law(rule, batch.alpha(rule), batch.sampling, batch.k, **variant)
        where = f"{name(law)}, blocks of {batch.block}"
        expected = batch.pi(law)
        assert torch.allclose(expected[0].sum(-1), torch.ones((), dtype=torch.float64)), where
        actual = Procedure().law(batch.tables, law, batch.block)
        assert distance(actual, joint(expected)).max() < 1e-9, where
        # The rule on whole rows is the oracle's, too.
        for whole, pi in zip(positions(batch.tables, law), expected, strict=True):
            assert distance(whole.pi, pi).max() < 1e-9, where
        check_acceptance(batch, law, expected)


def check_acceptance(batch: Batch, law: Law, pi: list[Tensor]) -> None:
    """The best there can be in residual form; in gate form what the rule keeps."""
    for depth, oracle in enumerate(batch.oracle):
        course = Procedure().course(law, batch.tables.drafter[depth], batch.tables.expert[depth])
        kept = course.kept.sum(-1)
        for pair, row_of_pi in zip(range(0, BATCH, 10), pi[depth][::10].tolist(), strict=True):
            for prefix, (at, target_row) in enumerate(zip(oracle[pair], row_of_pi, strict=True)):
                expected = _acceptance(law, at, target_row)
                assert float(kept[pair, prefix]) == pytest.approx(expected, abs=1e-9), name(law)


def _acceptance(law: Law, at: Position, pi: Row) -> float:
    if not law.coupled and law.form is Form.RESIDUAL:
        return 1 - tv(pi, at.q)
    rule, size = law.rule.name, range(len(at.q))
    keeps = [False] * len(at.q)
    if law.rule.defer is not None:
        keeps = [not r for r in decisions(rule, law.alpha, at)]
    if not law.coupled:
        greedy = law.sampling.temperature == 0
        return sum(at.q[v] for v in size if keeps[v] or (greedy and at.p[v] == 1))
    if keeps[0]:
        return 1.0
    # arXiv 2408.07978: the chance that both take the same token.
    return sum(
        1 / sum(max(at.p[j] / at.p[v], at.q[j] / at.q[v]) for j in size)
        for v in size
        if at.p[v] > 0 and at.q[v] > 0
    )


def test_every_rule_is_here() -> None:
    assert set(ALPHAS) == set(RULES)
