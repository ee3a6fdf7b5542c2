"""Exact laws of random small pairs, and the facts of docs/rules.md."""

import random

import pytest
import torch

from services.rules import acceptance
from services.rules.acceptance import allows_bonus, verify
from services.rules.distribution import Candidates, Sampling, candidates, one_hot, scaled
from services.rules.noise import seeds_tensor
from services.rules.targets import TARGETS
from services.rules.token import token_v3
from tests.laws.enumeration import Law, Position, Procedure, distance, positions, target_law
from tests.laws.tables import Tables, random_tables

PAIRS = 400
RULES = [("lossless", 0.0), *(("token_v3", alpha) for alpha in (0.0, 0.3, 0.5, 0.8, 0.9, 1.0))]


def random_case(case: int) -> tuple[Tables, Law, int]:
    """A pair, a law and a block length; the tables cover the block and the token after it."""
    rng = random.Random(case)
    block = rng.choice([1, 2, 4])
    size = rng.randint(3, 8 if block < 4 else 6)
    temperature = rng.choice([0.0, 0.7, 1.0])
    sampling = Sampling(temperature, rng.choice([0, 0, 1, 2, 3]), rng.choice([1.0, 1.0, 0.9, 0.5]))
    rule, alpha = rng.choice(RULES[:1] * 3 + RULES[1:])
    law = Law(rule, alpha, sampling, rng.choice([size, size, rng.randint(1, size)]))
    return random_tables(case, size, block + 1, awkward=rng.random() < 0.5), law, block


@pytest.mark.parametrize("tenth", range(10))
def test_block_and_next_token_follow_the_target(tenth: int) -> None:
    for case in range(tenth, PAIRS, 10):
        tables, law, block = random_case(case)
        expected = target_law(tables, law)
        assert float(expected.sum()) == pytest.approx(1, abs=1e-9)
        actual = Procedure().law(tables, law, block)
        assert distance(actual, expected) < 1e-9, f"case {case}: {law}, blocks of {block}"


def position(case: int, rule: str, alpha: float, temperature: float) -> Position:
    """The distributions at one random position, 64 rows of 6."""
    tables = random_tables(case, 6, 3)
    return positions(tables, Law(rule, alpha, Sampling(temperature), 5))[2]


@pytest.mark.parametrize(("rule", "alpha"), RULES)
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_the_services_accept_and_replace_as_enumerated(
    rule: str, alpha: float, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``verify`` with every drafted token and coins on a grid, in place of drawn ones."""
    size, grid = 6, 1000
    sampling = Sampling(temperature)
    tables = random_tables(7, size, 1)
    at = positions(tables, Law(rule, alpha, sampling, 5))[0]
    coins = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    weights: list[torch.Tensor] = []

    def keep_weights(rest: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        weights.append(rest)
        return torch.zeros_like(key)

    monkeypatch.setattr(acceptance, "uniform", lambda key: coins.repeat(size).unsqueeze(1))
    monkeypatch.setattr(acceptance, "gumbel_max", keep_weights)
    sessions = size * grid
    q = candidates(tables.drafter[0], sampling, 5)
    x = torch.arange(size).repeat_interleave(grid)
    verdicts = verify(
        TARGETS[rule],
        alpha,
        tables.expert[0].expand(sessions, 1, size),
        x.unsqueeze(1),
        Candidates(q.ids.expand(sessions, 1, -1), q.drops.expand(sessions, 1, -1)),
        sampling,
        seeds_tensor(list(range(sessions))),
        torch.zeros(sessions, dtype=torch.int64),
        bonus=False,
    )
    drafted = at.q[0] > 0
    share = verdicts.accepted.view(size, grid).double().mean(1)
    chance = (at.pi[0] / at.q[0]).clamp(max=1)
    assert torch.allclose(share[drafted], chance[drafted], rtol=0, atol=0.51 / grid)
    lossless_share = (at.p[0] / at.q[0]).clamp(max=1)
    trusted = (verdicts.trusted.view(size, grid)).double().mean(1)
    assert torch.allclose(
        trusted[drafted], (chance - lossless_share).clamp(min=0)[drafted], rtol=0, atol=1.01 / grid
    )
    assert torch.allclose(verdicts.distance, (at.pi - at.p).clamp(min=0).sum())
    replacement = Procedure().replacement(at)
    if temperature > 0:
        expected = replacement.expand(sessions, size)
        assert torch.allclose(weights[0], expected, rtol=0, atol=1e-12)
    else:
        rejected = drafted[x] & (verdicts.accepted == 0)
        assert (verdicts.token[rejected] == replacement.argmax()).all()


@pytest.mark.parametrize(("rule", "alpha"), RULES)
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_acceptance_rate_is_the_best_there_can_be(
    rule: str, alpha: float, temperature: float
) -> None:
    """Accepted mass, token by token with its own chance, is 1 - TV(pi, q)."""
    for case in range(20):
        at = position(case, rule, alpha, temperature)
        accepted = sum(
            at.q[:, v] * torch.where(at.q[:, v] > 0, at.pi[:, v] / at.q[:, v], 0).clamp(max=1)
            for v in range(6)
        )
        tv = (at.pi - at.q).abs().sum(-1) / 2
        assert torch.allclose(torch.as_tensor(accepted), 1 - tv, rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_what_token_v3_keeps_is_accepted_without_a_coin(alpha: float, temperature: float) -> None:
    for case in range(20):
        tables = random_tables(case, 6, 3)
        at = positions(tables, Law("token_v3", alpha, Sampling(temperature), 5))[2]
        p1 = tables.expert[2].softmax(-1)
        kept = p1 >= (1 - alpha) * p1.amax(-1, keepdim=True)
        assert kept.any(-1).all()
        assert (at.pi >= at.q)[kept].all()
        eta = (at.q * ~kept).sum(-1, keepdim=True)
        expected = torch.where(kept, at.p * eta, (at.p * eta - at.q).clamp(min=0))
        rest = Procedure().replacement(at)
        deferred = eta.squeeze(-1) > 0
        assert torch.allclose(rest[deferred], expected[deferred], rtol=0, atol=1e-12)


def test_token_v3_at_alpha_0_is_not_lossless_above_temperature_0() -> None:
    for temperature in (0.7, 1.0):
        ats = [position(case, "token_v3", 0.0, temperature) for case in range(50)]
        mean = sum(distance(at.pi, at.p) / len(at.p) for at in ats) / len(ats)
        assert 0.03 < mean < 0.3


def test_token_v3_below_alpha_0_is_lossless_and_at_1_the_drafter() -> None:
    for case in range(20):
        below = position(case, "token_v3", -0.01, 1.0)
        assert distance(below.pi, below.p) < 1e-12
        one = position(case, "token_v3", 1.0, 1.0)
        assert torch.equal(one.pi, one.q)


def test_token_v3_at_temperature_0_keeps_or_emits_the_experts_favourite() -> None:
    for case in range(50):
        alpha = random.Random(case).choice([0.0, 0.3, 0.5, 0.9])
        tables = random_tables(case, 6, 3)
        at = positions(tables, Law("token_v3", alpha, Sampling(0.0), 5))[2]
        p1, x = tables.expert[2].softmax(-1), tables.drafter[2].argmax(-1, keepdim=True)
        keeps = p1.gather(-1, x) >= (1 - alpha) * p1.amax(-1, keepdim=True)
        expected = torch.where(keeps, one_hot(tables.drafter[2]), one_hot(tables.expert[2]))
        assert torch.equal(at.pi, expected)


def test_token_v3_looks_at_the_unscaled_expert() -> None:
    """Two settings that scale p differently keep the same tokens."""
    logits = torch.tensor([[2.0, 1.6, -1.0, -1.2]], dtype=torch.float64)
    q = torch.full_like(logits, 0.25)
    for sampling in (Sampling(1.0), Sampling(0.2), Sampling(1.0, top_k=1)):
        pi = token_v3(None, logits.softmax(-1), q, scaled(logits, sampling), 0.5)
        assert (pi >= q).tolist() == [[True, True, False, False]]


def test_a_bonus_only_for_lossless_at_temperature_0() -> None:
    allowed = {
        (rule, temperature)
        for rule in TARGETS
        for temperature in (0.0, 1e-6, 0.7, 1.0, 2.0)
        if allows_bonus(rule, Sampling(temperature))
    }
    assert allowed == {("lossless", 0.0)}
