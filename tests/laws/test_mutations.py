"""The tests of the law can fail: each mistake here is one that public implementations made."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from services.rules import acceptance, noise
from services.rules.distribution import Candidates, Sampling, candidates
from services.rules.noise import Purpose
from services.rules.sampling import Drafted, gumbel_max, sample_draft
from services.rules.targets import TARGETS
from tests.laws import draws
from tests.laws.draws import draw_answers, in_chunks
from tests.laws.enumeration import Law, Position, Procedure, distance, positions, target_law
from tests.laws.gtest import ALARM, p_value
from tests.laws.tables import Tables, random_tables

V, BLOCK = 6, 2
LOSSLESS = Law("lossless", 0.0, Sampling(1.0), 3)
TOKEN_V3 = Law("token_v3", 0.5, Sampling(1.0), 5)
TABLES = random_tables(BLOCK, V, BLOCK + 1, dtype=torch.float32)


class BonusFromP(Procedure):
    """The expert's token after every whole block."""

    def bonus(self, law: Law) -> bool:
        return True


class UntruncatedQ(Procedure):
    """Sampled from K tokens, verified with all."""

    def at(self, tables: Tables, law: Law) -> list[Position]:
        return positions(tables, replace(law, k=tables.size))


class ResidualOfP(Procedure):
    """What lossless verification would replace a rejected token with."""

    def replacement(self, at: Position) -> Tensor:
        return (at.p - at.q).clamp(min=0)


@pytest.mark.parametrize(
    ("mistake", "law"),
    [(BonusFromP(), TOKEN_V3), (UntruncatedQ(), LOSSLESS), (ResidualOfP(), TOKEN_V3)],
    ids=["bonus from p", "q untruncated", "residual of p"],
)
def test_enumeration_sees_a_mistake(mistake: Procedure, law: Law) -> None:
    assert distance(mistake.law(TABLES, law, BLOCK), target_law(TABLES, law)) > 0.01


def drawn_p_value(law: Law, block: int = BLOCK, *, bonus_from_p: bool = False) -> float:
    """Of 100,000 draws, against the law that the tokens are to have."""

    def draw(seeds: Tensor) -> Tensor:
        return draw_answers(TABLES, law, block, seeds, bonus_from_p=bonus_from_p)

    counts = torch.bincount(in_chunks(draw, 100_000, 0), minlength=V**TABLES.depth)
    return p_value(counts.numpy(), target_law(TABLES, law).numpy())


@pytest.mark.parametrize("law", [LOSSLESS, TOKEN_V3], ids=str)
def test_draws_without_a_mistake(law: Law) -> None:
    assert drawn_p_value(law) > ALARM


def test_draws_see_a_bonus_from_p() -> None:
    assert drawn_p_value(TOKEN_V3, bonus_from_p=True) < ALARM


def test_draws_see_verification_with_another_q(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(
        logits: Tensor, sampling: Sampling, k: int, seeds: Tensor, here: Tensor
    ) -> Drafted:
        drafted = sample_draft(logits, sampling, k, seeds, here)
        return Drafted(drafted.ids, candidates(logits, sampling, V))

    monkeypatch.setattr(draws, "sample_draft", mistaken)
    assert drawn_p_value(LOSSLESS) < ALARM


def test_draws_see_a_residual_of_p(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def token_v3(q1: Tensor | None, p1: Tensor, q: Tensor, p: Tensor, alpha: float) -> Tensor:
        seen[:] = [p]
        return TARGETS["token_v3"](q1, p1, q, p, alpha)

    monkeypatch.setattr(draws, "TARGETS", {"token_v3": token_v3})
    # In a block of one token the rejected row is the only one.
    monkeypatch.setattr(acceptance, "residual", lambda pi, q: (seen[0][:, 0] - q).clamp(min=0))
    assert drawn_p_value(TOKEN_V3, block=1) < ALARM


def from_coin(weights: Tensor, key: Tensor) -> Tensor:
    """Inverse-transform sampling with the number that the coin has for this key."""
    cumulated = weights.double().cumsum(-1)
    return (cumulated < noise.uniform(key).unsqueeze(-1) * cumulated[:, -1:]).sum(-1)


@pytest.mark.parametrize("law", [LOSSLESS, TOKEN_V3], ids=str)
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


def test_inverse_transform_alone_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what alarms above is the number used twice."""
    monkeypatch.setattr(acceptance, "gumbel_max", from_coin)
    assert drawn_p_value(TOKEN_V3) > ALARM


def test_draws_see_candidates_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(
        logits: Tensor, sampling: Sampling, k: int, seeds: Tensor, here: Tensor
    ) -> Drafted:
        drafted = sample_draft(logits, sampling, k, seeds, here)
        q = drafted.candidates
        return Drafted(drafted.ids, Candidates(q.ids.roll(1, -1), q.drops))

    monkeypatch.setattr(draws, "sample_draft", mistaken)
    assert drawn_p_value(LOSSLESS) < ALARM
