"""Distributions rebuilt from scores give what the rules give on whole rows."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cascade.v1 import law_pb2
from torch import Tensor

from services.calibrate.grids import default_alphas
from services.calibrate.outcome import evaluate
from services.calibrate.positions import TIES, Positions, drafted, positions_of
from services.errors import InvalidField
from services.pod.score import ScoreStep
from services.rules.distribution import Sampling, candidates, scaled
from services.rules.registry import RULES
from services.rules.target import Target
from services.rules.unscaled import OfProbabilities

SIZE = 120
ROWS = 40
K = 16

SAMPLINGS = [
    Sampling(),
    Sampling(1.0),
    Sampling(0.5),
    Sampling(2.0, top_k=9),
    Sampling(1.0, top_p=0.8),
    Sampling(1.0, top_k=30, top_p=0.9),
]


def rows(seed: int) -> Tensor:
    """Logits [ROWS, SIZE], no two of a row equal.

    They are multiples of 1/64, so that at these temperatures drops are whole: the wire's float32
    then can't round one the other way.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [torch.randperm(5 * SIZE, generator=generator)[:SIZE] / 64 for _ in range(ROWS)]
    )


def scores(
    logits: Tensor, sampling: Sampling, count: int, also: list[list[int]] | None = None
) -> list[law_pb2.ScoredPosition]:
    """What a pod answers, as it crosses the wire."""
    request = law_pb2.ScoreStep(
        continuation=[0] * len(logits),
        candidates=count,
        also=[law_pb2.TokenIds(ids=ids) for ids in also or ()],
    )
    facts: Any = SimpleNamespace(vocabulary_size=SIZE, context_length=1024)
    session: Any = SimpleNamespace(tokens=[])
    emitted: list[Any] = []
    step = ScoreStep(request, facts, sampling, emitted.append)
    step.take(session, step.decide([step], logits.unsqueeze(0))[0].tolist())
    return list(law_pb2.ScoredText.FromString(emitted[0].SerializeToString()).positions)


def test_what_is_asked_for_beside_the_most_likely_is_bounded() -> None:
    facts: Any = SimpleNamespace(vocabulary_size=SIZE, context_length=1024)
    also = [law_pb2.TokenIds(ids=[0] * 1025)]
    with pytest.raises(InvalidField, match="also: must have at most 1024 ids each, got 1025"):
        ScoreStep(law_pb2.ScoreStep(continuation=[0], also=also), facts, SAMPLINGS[0], print)


def rebuilt(drafter: Tensor, expert: Tensor, sampling: Sampling) -> Positions:
    greedy = sampling.temperature == 0
    of_drafter = scores(drafter, sampling, TIES if greedy else K)
    also = [[token for token, _ in drafted(p, greedy=greedy)] for p in of_drafter]
    return positions_of(of_drafter, scores(expert, sampling, TIES, also), sampling.temperature)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_q_and_p_are_rebuilt(sampling: Sampling) -> None:
    drafter, expert = rows(1), rows(2)
    at = rebuilt(drafter, expert, sampling)
    listed = at.p1.at > 0
    q = candidates(drafter, sampling, K).dense(SIZE, torch.float64)
    dense = torch.zeros_like(q).scatter_add_(-1, at.ids, at.q)
    torch.testing.assert_close(dense, q, rtol=0, atol=1e-12)
    for mine, whole in (
        (at.p, scaled(expert, sampling).double()),
        (at.p1.at, expert.double().softmax(-1)),
    ):
        torch.testing.assert_close(
            mine, torch.where(listed, whole.gather(-1, at.ids), 0.0), rtol=0, atol=1e-6
        )
    assert torch.equal(at.ids.gather(-1, at.p1.top_index), expert.argmax(-1, keepdim=True))
    assert torch.equal(at.ids.gather(-1, at.q1.top_index), drafter.argmax(-1, keepdim=True))


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_what_it_is_on_whole_rows(name: str, sampling: Sampling) -> None:
    """pi on the listed tokens and beside them, and all that is told of it, within 1e-6."""
    drafter, expert = rows(3), rows(4)
    at = rebuilt(drafter, expert, sampling)
    q = candidates(drafter, sampling, K).dense(SIZE, torch.float64)
    p = scaled(expert, sampling).double()
    q1, p1 = drafter.double().softmax(-1), expert.double().softmax(-1)
    rule = RULES[name]
    for alpha in default_alphas(name)[::3]:
        pi = rule.pi(q1, p1, q, p, alpha)
        target = rule.target(at.q1, at.p1, at.q, at.p, alpha)
        torch.testing.assert_close(spelled_out(target, p, at), pi, rtol=0, atol=1e-6)
        outcome = evaluate(rule, alpha, at)
        expected = {
            "acceptance": torch.minimum(pi, q).sum(-1),
            "distance": (pi - p).clamp(min=0).sum(-1),
            "agreement": pi.gather(-1, p1.argmax(-1, keepdim=True)).squeeze(-1),
        }
        if rule.defer is None:
            assert outcome.expert_share is None
        else:
            r = rule.defer(OfProbabilities(q1), OfProbabilities(p1), q, p, alpha)
            expected["expert_share"] = (r * q).sum(-1)
        for field, value in expected.items():
            torch.testing.assert_close(getattr(outcome, field), value, rtol=0, atol=1e-6)


def spelled_out(target: Target, p: Tensor, at: Positions) -> Tensor:
    """``pi`` on the whole vocabulary: [ROWS, SIZE]."""
    pi = target.rest * p
    for row, real in enumerate(at.p1.at > 0):
        pi[row, at.ids[row][real]] = target.at[row][real]
    return pi


def test_of_equal_tokens_the_greedy_one_counts() -> None:
    """In bfloat16 two tokens may be exactly as likely; the list may begin with the other."""
    tied = law_pb2.ScoredPosition(
        top_log_prob=-0.7,
        entropy=1.0,
        ids=[5, 3],
        log_probs=[-0.7, -0.7],
        scaled_log_probs=[float("-inf"), 0.0],
    )
    assert drafted(tied, greedy=True) == [(3, 0)]
    at = positions_of([tied], [tied], 0.0)
    assert at.ids.tolist() == [[3]]
    assert at.p.tolist() == at.q.tolist() == [[1.0]]


def test_of_equal_tokens_top_k_may_have_cut_the_first_listed() -> None:
    inf = -float("inf")
    position = law_pb2.ScoredPosition(ids=[4, 2, 9], scaled_log_probs=[inf, -0.5, -1.5])
    assert drafted(position, greedy=False) == [(2, 0), (9, 512)]
    position = law_pb2.ScoredPosition(ids=[4, 2], scaled_log_probs=[inf, inf])
    assert drafted(position, greedy=False) == [(4, 0)]


def test_what_is_too_unlikely_is_no_candidate() -> None:
    """Beyond 32 nats below the first, as in the drafter."""
    position = law_pb2.ScoredPosition(
        ids=[1, 2, 3, 4],
        log_probs=[0.0, -1.0, -33.0, -40.0],
        scaled_log_probs=[0.0, -1.0, -31.99, -33.0],
    )
    assert [token for token, _ in drafted(position, greedy=False)] == [1, 2, 3]


def test_all_pairs_of_listed_tokens_are_distinct() -> None:
    at = rebuilt(rows(5), rows(5), Sampling(1.0))
    for row, real in zip(at.ids.tolist(), (at.p1.at > 0).tolist(), strict=True):
        ids = list(itertools.compress(row, real))
        assert len(ids) == len(set(ids)) == K, "the expert's favourite is the drafter's here"
