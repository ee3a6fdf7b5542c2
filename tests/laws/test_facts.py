"""What docs/rules.md says of the rules, and that ``verify`` does as enumerated."""

import random

import pytest
import torch
from cascade.v1 import law_pb2

from services.rules import acceptance
from services.rules.acceptance import log_residual, verify
from services.rules.distribution import Sampling, Scaled, candidates, one_hot
from services.rules.law import Form
from services.rules.noise import seeds_tensor
from services.rules.registry import RULES
from services.rules.target import Target
from services.serving.law import default_alpha
from tests.laws.crossing import COUPLED, GATED, VARIANTS, cross, make_law, stack
from tests.laws.enumeration import Position, Procedure, distance, positions
from tests.laws.tables import random_tables

ALPHA = {rule: default_alpha(law_pb2.Rule.Value(f"RULE_{rule.upper()}"), 1.0) for rule in RULES}


def position(case: int, rule: str, alpha: float, temperature: float = 1.0, k: int = 5) -> Position:
    """The distributions at one random position, 64 rows of 6."""
    tables = random_tables(case, 6, 3)
    return positions(tables, make_law(rule, alpha, Sampling(temperature), k))[2]


@pytest.mark.parametrize(("rule", "variant"), VARIANTS, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_verify_accepts_and_replaces_as_enumerated(
    rule: str, variant: dict[str, bool], temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every drafted token, with coins on a grid in place of drawn ones."""
    size, grid = 6, 1000
    law = make_law(rule, ALPHA[rule], Sampling(temperature), 5, **variant)
    tables = random_tables(7, size, 1)
    drafter, expert = tables.drafter[0].double(), tables.expert[0].double()
    at = positions(tables, law)[0]
    coins = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    weights: list[torch.Tensor] = []

    def keep_weights(log_weights: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        weights.append(log_weights)
        return torch.zeros_like(key)

    monkeypatch.setattr(acceptance, "uniform", lambda key: coins.repeat(size).unsqueeze(1))
    monkeypatch.setattr(acceptance, "gumbel_max", keep_weights)
    sessions = size * grid
    q = candidates(drafter.expand(sessions, -1), law.sampling, 5)
    x = torch.arange(size).repeat_interleave(grid)
    drafts = cross(law, drafter.expand(sessions, 1, -1), x.unsqueeze(1), stack([q]))
    verdicts = verify(
        law,
        expert.expand(sessions, 1, size),
        drafts,
        seeds_tensor(list(range(sessions))),
        torch.zeros(sessions, dtype=torch.int64),
        bonus=False,
    )
    course = Procedure().course(law, drafter, expert)
    drawn = at.q[0] > 0
    share = verdicts.accepted.view(size, grid).double().mean(1)
    trusted = verdicts.trusted.view(size, grid).double().mean(1)
    if law.coupled and temperature > 0:
        # Whether both agree is a matter of the noise: the draws test that.
        agrees = verdicts.token[verdicts.accepted == 0] != x[verdicts.accepted == 0]
        assert agrees.all()
    else:
        chance = (course.kept[0] / at.q[0])[drawn]
        assert torch.allclose(share[drawn], chance, rtol=0, atol=0.51 / grid)
    if law.form is Form.RESIDUAL and not law.coupled:
        lossless = (at.p[0] / at.q[0]).clamp(max=1)[drawn]
        beyond = (chance - lossless).clamp(min=0)
        assert torch.allclose(trusted[drawn], beyond, rtol=0, atol=1.01 / grid)
        if temperature > 0 and (verdicts.accepted == 0).any():
            residual = weights[0][0].exp()
            excess = (at.pi[0] - at.q[0]).clamp(min=0)
            expected = excess if excess.any() else at.pi[0]
            assert torch.allclose(residual, expected, rtol=0, atol=1e-9)
    known = ~verdicts.distance.isnan() & drawn[x].unsqueeze(1)
    tv = (at.pi - at.p).clamp(min=0).sum()
    assert torch.allclose(verdicts.distance[known], tv.expand(int(known.sum())))
    if temperature == 0:
        rejected = drawn[x] & (verdicts.accepted == 0)
        assert (verdicts.token[rejected] == expert.argmax()).all()
        assert known.sum() == drawn[x].sum(), "at temperature 0 q is known to everybody"


@pytest.mark.parametrize("rule", ["token_v1", "token_v2", "token_v3"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_what_a_token_rule_keeps_is_accepted_without_a_coin(
    rule: str, alpha: float, temperature: float
) -> None:
    for case in range(10):
        tables = random_tables(case, 6, 3)
        law = make_law(rule, alpha, Sampling(temperature), 6)
        at = Procedure().evaluate(law, tables.drafter[2], tables.expert[2])
        assert at.defer is not None
        pi, kept = at.target.at, ~at.defer
        assert (pi >= at.q)[kept].all()
        eta = (at.q * at.defer).sum(-1, keepdim=True)
        excess = torch.where(kept, at.p * eta, (at.p * eta - at.q).clamp(min=0))
        assert torch.allclose((pi - at.q).clamp(min=0), excess, rtol=0, atol=1e-12)


def test_token_v2_and_v3_at_alpha_0_are_not_lossless_above_temperature_0() -> None:
    for rule in ("token_v2", "token_v3"):
        for temperature in (0.7, 1.0):
            ats = [position(case, rule, 0.0, temperature) for case in range(50)]
            mean = sum(float(distance(at.pi, at.p).mean()) for at in ats) / len(ats)
            assert 0.03 < mean < 0.3


def test_ends_of_the_ranges() -> None:
    """Where a rule is lossless, and where the answer is the drafter's."""
    lossless = {
        "lossless": 0.0,
        "lossy": 0.0,
        "ensemble": 0.0,
        "token_v2": -0.01,
        "token_v3": -0.01,
    }
    lossless |= {"diff": -1.0, "token_v1": -1.0, "chow": 0.0, "chow_log": 0.0, "bild": 0.0}
    drafters = {"ensemble": 1.0, "chow": 1.0, "chow_log": 9.0, "diff": 1.0, "bild": 1e9}
    drafters |= {"token_v1": 1.0, "token_v2": 1.0, "token_v3": 1.0, "lossy": 1 - 1e-12}
    for case in range(20):
        for rule, alpha in lossless.items():
            at = position(case, rule, alpha)
            assert distance(at.pi, at.p).max() < 1e-12, rule
        for rule, alpha in drafters.items():
            at = position(case, rule, alpha)
            assert distance(at.pi, at.q).max() < 1e-9, rule


def test_opt_defers_nowhere_at_alpha_1_and_temperature_1() -> None:
    for case in range(50):
        tables = random_tables(case, 6, 3)
        q, p = tables.drafter[2].softmax(-1), tables.expert[2].softmax(-1)
        assert torch.equal(RULES["opt"].pi(q, p, q, p, 1 + 1e-9), q)


def test_ensemble_accepts_by_its_share() -> None:
    for alpha in (0.0, 0.25, 0.9):
        at = position(3, "ensemble", alpha)
        accepted = torch.minimum(at.pi, at.q).sum(-1)
        assert torch.allclose(accepted, 1 - (1 - alpha) * distance(at.p, at.q))


def test_lossy_accepts_what_it_says() -> None:
    """``min(1, p / ((1 - alpha) q))``, and no effect at temperature 0."""
    for alpha in (0.0, 0.3, 0.9):
        at = position(4, "lossy", alpha)
        kept = torch.minimum(at.q, at.p / (1 - alpha))
        assert torch.allclose(torch.minimum(at.pi, at.q), kept)
        greedy = position(4, "lossy", alpha, 0.0)
        assert torch.equal(greedy.pi, greedy.p)


def test_opt_diff_and_token_v1_coincide_at_temperature_0() -> None:
    """OPT where the two differ, so that TV is 1; Diff and TokenV1 everywhere."""
    for case in range(30):
        alpha = random.Random(case).uniform(0, 1)
        diff, opt, v1 = (position(case, r, alpha, 0.0).pi for r in ("diff", "opt", "token_v1"))
        assert torch.equal(diff, v1)
        assert torch.equal(diff, opt)


def test_token_v3_at_temperature_0_keeps_or_emits_the_experts_favourite() -> None:
    for case in range(50):
        alpha = random.Random(case).choice([0.0, 0.3, 0.5, 0.9])
        tables = random_tables(case, 6, 3)
        at = positions(tables, make_law("token_v3", alpha, Sampling(0.0), 5))[2]
        p1, x = tables.expert[2].softmax(-1), tables.drafter[2].argmax(-1, keepdim=True)
        keeps = p1.gather(-1, x) >= (1 - alpha) * p1.amax(-1, keepdim=True)
        expected = torch.where(keeps, one_hot(tables.drafter[2]), one_hot(tables.expert[2]))
        assert torch.equal(at.pi, expected)


def test_confidence_is_looked_at_unscaled() -> None:
    """Settings that scale p differently decide alike, for every rule but OPT, which has a TV."""
    tables = random_tables(11, 6, 3)
    for rule in set(GATED) - {"opt"}:
        decisions = []
        for sampling in (Sampling(1.0), Sampling(0.4), Sampling(1.0, top_k=2)):
            law = make_law(rule, ALPHA[rule], sampling, 6, gate=True)
            drafter = tables.drafter[2]
            at = Procedure().evaluate(law, drafter, tables.expert[2])
            assert at.defer is not None
            decisions.append(at.of_x(at.defer))
        assert torch.equal(decisions[0], decisions[1]), rule
        assert torch.equal(decisions[0], decisions[2]), rule


def test_keeping_or_else_lossless_is_another_law() -> None:
    """A token rule is not "keep if r(x) = 0, else verify against p"."""
    tables = random_tables(2, 6, 3)
    at = Procedure().evaluate(
        make_law("token_v3", 0.5, Sampling(1.0), 6), tables.drafter[2], tables.expert[2]
    )
    assert at.defer is not None
    keeps = torch.where(at.defer, (at.p / at.q).clamp(max=1), 1.0) * at.q
    rest = (at.p - at.q).clamp(min=0)
    wrong = keeps + (1 - keeps.sum(-1, keepdim=True)) * rest / rest.sum(-1, keepdim=True)
    assert float(distance(wrong, at.target.at).mean()) > 0.03


def test_a_bonus_only_where_the_token_does_not_depend_on_q() -> None:
    allowed = {
        (rule, bool(variant.get("coupled")), temperature)
        for rule, variant in VARIANTS
        for temperature in (0.0, 1e-3, 0.7, 1.0, 2.0)
        if make_law(rule, 0.5, Sampling(temperature), 5, **variant).allows_bonus
    }
    coupled = {("lossless", True, t) for t in (0.0, 1e-3, 0.7, 1.0, 2.0)}
    assert allowed == {("lossless", False, 0.0)} | coupled
    assert "lossless" in COUPLED


def test_an_empty_residual_falls_back_to_the_target() -> None:
    """Where rounding rejects a token that has nothing in its place."""
    logits = torch.tensor([[1.0, 0.5, -1.0, 0.2]], dtype=torch.float64)
    p = Scaled.of(logits, Sampling(1.0))
    ids = torch.tensor([[0, 1, 0]])  # a repeated entry, without mass
    q = torch.tensor([[0.6, 0.4, 0.0]], dtype=torch.float64)
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    weights = log_residual(Target(q, nothing), ids, q, p)
    assert weights.exp().tolist() == [pytest.approx([0.6, 0.4, 0.0, 0.0])]
