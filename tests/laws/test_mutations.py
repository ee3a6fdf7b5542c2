"""The tests of the law can fail: each mistake here is one that public implementations made."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from services.rules import acceptance, evaluation, noise, registry
from services.rules.distribution import Candidates, Sampling, Scaled, candidates
from services.rules.evaluation import Evaluation
from services.rules.law import Form, Law
from services.rules.noise import Purpose
from services.rules.sampling import Drafted, gumbel_max, sample_draft
from services.rules.target import Target
from services.rules.unscaled import OfLogits, Unscaled
from tests.laws import draws
from tests.laws.crossing import make_law, name
from tests.laws.draws import draw_answers, in_chunks
from tests.laws.enumeration import Procedure, distance, target_law
from tests.laws.gtest import ALARM, p_value
from tests.laws.tables import random_tables

V, BLOCK = 6, 2
LOSSLESS = make_law("lossless", 0.0, Sampling(1.0), 3)
TOKEN_V3 = make_law("token_v3", 0.5, Sampling(1.0), 5)
COOLED = make_law("token_v3", 0.6, Sampling(0.7), 5)
TABLES = random_tables(BLOCK, V, BLOCK + 1, dtype=torch.float32)


class BonusFromP(Procedure):
    """The expert's token after every whole block."""

    def allows_bonus(self, law: Law) -> bool:
        return True


class UntruncatedQ(Procedure):
    """Sampled from K tokens, verified with all."""

    def evaluate(self, law: Law, drafter: Tensor, expert: Tensor) -> Evaluation:
        return super().evaluate(replace(law, candidates=V), drafter, expert)


class ResidualOfP(Procedure):
    """What lossless verification would replace a rejected token with: there is no eta."""

    def residual(self, at: Evaluation, p: Scaled) -> Tensor:
        lossless = Target(at.p[:, 0], torch.ones_like(at.p[:, 0, :1]))
        return acceptance.log_residual(lossless, at.ids[:, 0], at.q[:, 0], p)


class OnScaled(Procedure):
    """The rule evaluated on scaled probabilities."""

    def evaluate(self, law: Law, drafter: Tensor, expert: Tensor) -> Evaluation:
        at = super().evaluate(law, drafter, expert)
        rows = (expert / law.sampling.temperature).repeat_interleave(V, 0).unsqueeze(1)
        p1 = OfLogits(rows, at.ids)
        assert law.rule.defer is not None
        defer = law.rule.defer(p1, p1, at.q, at.p, law.alpha)
        return replace(at, defer=defer, target=law.rule.mixed(defer, at.q, at.p))


@pytest.mark.parametrize(
    ("mistake", "law"),
    [
        (BonusFromP(), TOKEN_V3),
        (UntruncatedQ(), LOSSLESS),
        (ResidualOfP(), TOKEN_V3),
        (OnScaled(), COOLED),
    ],
    ids=["bonus from p", "q untruncated", "residual of p", "scaled"],
)
def test_enumeration_sees_a_mistake(mistake: Procedure, law: Law) -> None:
    assert distance(Procedure().law(TABLES, law, BLOCK), target_law(TABLES, law)) < 1e-9
    assert distance(mistake.law(TABLES, law, BLOCK), target_law(TABLES, law)) > 0.01


def drawn_p_value(law: Law, block: int = BLOCK, *, bonus_from_p: bool = False) -> float:
    """Of 100,000 draws, against the law that the tokens are to have."""

    def draw(seeds: Tensor) -> Tensor:
        return draw_answers(TABLES, law, block, seeds, bonus_from_p=bonus_from_p)

    counts = torch.bincount(in_chunks(draw, 100_000, 0), minlength=V**TABLES.depth)
    return p_value(counts.numpy(), target_law(TABLES, law).numpy())


@pytest.mark.parametrize("law", [LOSSLESS, TOKEN_V3, COOLED], ids=name)
def test_draws_without_a_mistake(law: Law) -> None:
    assert drawn_p_value(law) > ALARM


def test_draws_see_a_bonus_from_p() -> None:
    assert drawn_p_value(TOKEN_V3, bonus_from_p=True) < ALARM


def test_draws_see_verification_with_another_q(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(logits: Tensor, sampling: Sampling, *rest: Any) -> Drafted:
        drafted = sample_draft(logits, sampling, *rest)
        return Drafted(drafted.ids, candidates(logits, sampling, V))

    monkeypatch.setattr(draws, "sample_draft", mistaken)
    assert drawn_p_value(LOSSLESS) < ALARM


def test_draws_see_a_residual_without_eta(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(pi: Target, ids: Tensor, q: Tensor, p: Scaled) -> Tensor:
        lossless = Target(p.at(ids), torch.ones_like(pi.rest))
        return log_residual(lossless, ids, q, p)

    log_residual = acceptance.log_residual
    monkeypatch.setattr(acceptance, "log_residual", mistaken)
    assert drawn_p_value(TOKEN_V3) < ALARM


def test_draws_see_a_rule_on_scaled_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(logits: Tensor, ids: Tensor, normalizer: Tensor | None) -> Unscaled:
        return OfLogits(logits / COOLED.sampling.temperature, ids)

    monkeypatch.setattr(evaluation, "OfLogits", mistaken)
    assert drawn_p_value(COOLED) < ALARM


def test_draws_see_a_target_without_eta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep if the rule does, else p as it stands: renormalised by nobody."""

    def mistaken(defer: Tensor, q: Tensor, p: Tensor) -> Target:
        return Target(torch.where(defer, p, torch.maximum(p, q)), torch.ones_like(p[..., :1]))

    monkeypatch.setattr(registry, "mix_tokens", mistaken)
    assert drawn_p_value(TOKEN_V3) < ALARM


def from_coin(log_weights: Tensor, key: Tensor) -> Tensor:
    """Inverse-transform sampling with the number that the coin has for this key."""
    cumulated = log_weights.double().exp().cumsum(-1)
    return (cumulated < noise.uniform(key).unsqueeze(-1) * cumulated[:, -1:]).sum(-1)


@pytest.mark.parametrize("law", [LOSSLESS, TOKEN_V3], ids=name)
@pytest.mark.parametrize(
    ("reused", "sample"),
    [(Purpose.ACCEPT, from_coin), (Purpose.DRAFT, gumbel_max)],
    ids=["the coin's", "the draft's"],
)
def test_draws_see_noise_used_twice(
    law: Law,
    reused: Purpose,
    sample: Callable[[Tensor, Tensor], Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mistaken(seeds: Tensor, here: Tensor, purpose: Purpose) -> Tensor:
        return noise.keys(seeds, here, reused if purpose is Purpose.RESAMPLE else purpose)

    monkeypatch.setattr(acceptance, "keys", mistaken)
    monkeypatch.setattr(acceptance, "gumbel_max", sample)
    assert drawn_p_value(law) < ALARM


def test_draws_see_a_gate_with_the_drafts_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coupled noise must not serve where a token rule emits the expert's own."""
    monkeypatch.setattr(Law, "draft_purpose", Purpose.EXPERT)
    assert drawn_p_value(replace(TOKEN_V3, form=Form.GATE)) < ALARM


def test_a_gate_with_noise_of_its_own_is_no_mistake() -> None:
    assert drawn_p_value(replace(TOKEN_V3, form=Form.GATE)) > ALARM


def test_inverse_transform_alone_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what alarms above is the number used twice."""
    monkeypatch.setattr(acceptance, "gumbel_max", from_coin)
    assert drawn_p_value(TOKEN_V3) > ALARM


def test_draws_see_candidates_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(logits: Tensor, sampling: Sampling, *rest: Any) -> Drafted:
        drafted = sample_draft(logits, sampling, *rest)
        q = drafted.candidates
        return Drafted(drafted.ids, Candidates(q.ids.roll(1, -1), q.drops))

    monkeypatch.setattr(draws, "sample_draft", mistaken)
    assert drawn_p_value(LOSSLESS) < ALARM
