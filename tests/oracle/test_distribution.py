"""Scaling, candidates, targets and samples of the services equal the oracle's on random inputs."""

import random

import pytest
import torch

from services.rules.acceptance import log_residual
from services.rules.distribution import Sampling, Scaled, candidates, scaled
from services.rules.noise import seeds_tensor
from services.rules.registry import RULES
from services.rules.sampling import sample_draft, sample_expert
from services.rules.unscaled import OfLogits
from tests.oracle import noise
from tests.oracle import rules as oracle_rules
from tests.oracle.distribution import Scaling, drafted, softmax
from tests.oracle.distribution import scaled as oracle_scaled

CASES = range(150)


class Case:
    """Random logits of one position for both models, and a random setting."""

    def __init__(self, case: int) -> None:
        rng = random.Random(case)
        size = rng.choice([3, 8, 40, 300])
        spread = rng.choice([0.5, 2.0, 8.0])
        self.rng = rng
        self.drafter = [rng.gauss(0, spread) for _ in range(size)]
        self.expert = [rng.gauss(0, spread) for _ in range(size)]
        if rng.random() < 0.3:
            # Some tokens are impossible, and one hardly possible: the wire drops it.
            self.expert[0] = self.drafter[1] = -float("inf")
            self.drafter[2] = max(self.drafter) - 100
        self.k = rng.randint(1, size + 2)
        temperature = rng.choice([0.0, 0.3, 0.7, 1.0, 1.8])
        top_k = rng.choice([0, 0, 1, 2, size // 2, size + 5])
        top_p = rng.choice([1.0, 1.0, 0.9, 0.5, 0.05])
        self.sampling = Sampling(temperature, top_k, top_p)
        self.scaling = Scaling(temperature, top_k, top_p)


def double(values: list[float]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def close(actual: torch.Tensor, expected: list[float]) -> bool:
    return actual[0].tolist() == pytest.approx(expected, rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_scaled_equals_the_oracle(case: int) -> None:
    c = Case(case)
    assert close(scaled(double(c.expert), c.sampling), oracle_scaled(c.expert, c.scaling))


@pytest.mark.parametrize("case", CASES)
def test_candidates_equal_the_oracle(case: int) -> None:
    c = Case(case)
    q = candidates(double(c.drafter), c.sampling, c.k)
    assert q.ids.shape[-1] <= c.k
    assert close(q.dense(len(c.drafter), torch.float64), drafted(c.drafter, c.scaling, c.k))


@pytest.mark.parametrize("case", CASES)
def test_samples_equal_the_oracle(case: int) -> None:
    c = Case(case)
    seed, position = c.rng.randrange(2**64), c.rng.randrange(4096)
    where = seeds_tensor([seed]), torch.tensor([position])
    expected = noise.gumbel_max(oracle_scaled(c.expert, c.scaling), seed, position, noise.EXPERT)
    assert sample_expert(double(c.expert), c.sampling, *where).item() == expected
    q = drafted(c.drafter, c.scaling, c.k)
    expected = noise.gumbel_max(q, seed, position, noise.DRAFT)
    assert sample_draft(double(c.drafter), c.sampling, c.k, *where).ids.item() == expected


ALPHAS = {
    "diff": (-1, 1),
    "bild": (0, 5),
    "chow_log": (0, 4),
    "token_v1": (-1, 1),
    "token_v2": (-1, 1),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", CASES)
def test_targets_and_residuals_equal_the_oracle(case: int, rule: str) -> None:
    """On whole rows, and on the listed tokens with the share of p beside them."""
    c = Case(case)
    low, high = ALPHAS.get(rule, (0, 1))
    alpha = c.rng.choice([low, c.rng.uniform(low, high), min(high, 0.95)])
    sampled = drafted(c.drafter, c.scaling, c.k)
    p = oracle_scaled(c.expert, c.scaling)
    q1, p1 = softmax(c.drafter), softmax(c.expert)
    pi = oracle_rules.target(rule, alpha, oracle_rules.Position(q1, p1, sampled, p))
    assert sum(pi) == pytest.approx(1, abs=1e-12)
    whole = RULES[rule].pi(double(q1), double(p1), double(sampled), double(p), alpha)
    assert close(whole, pi)

    listed = candidates(double(c.drafter), c.sampling, c.k)
    q, rows = listed.probabilities(), Scaled.of(double(c.expert), c.sampling)
    drafter, expert = (
        OfLogits(double(c.drafter), listed.ids),
        OfLogits(double(c.expert), listed.ids),
    )
    target = RULES[rule].target(drafter, expert, q, rows.at(listed.ids), alpha)
    beside = (double(p) * target.rest).scatter(-1, listed.ids, target.at)
    assert close(beside, pi)
    if c.sampling.temperature > 0:
        rest = log_residual(target, listed.ids, q, rows).exp()
        assert rest[0].tolist() == pytest.approx(oracle_rules.residual(pi, sampled), abs=1e-11)
