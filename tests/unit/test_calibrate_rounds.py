"""Rounds along an answer, and what they cost."""

import random

import pytest
from cascade.v1 import law_pb2, router_pb2

from services.calibrate.costs import costs_of
from services.calibrate.rounds import expected_rounds


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("block", [1, 5])
@pytest.mark.parametrize("bonus", [False, True])
def test_equal_chances_follow_the_formula(chance: float, block: int, bonus: bool) -> None:
    """Without ends a round has (1 - a^n) / (1 - a) tokens, n the most that it can have."""
    most = block + bonus
    expected = most if chance == 1 else (1 - chance**most) / (1 - chance)
    n = 60 * most * 50
    assert n / expected_rounds([chance] * n, block, bonus=bonus) == pytest.approx(
        expected, rel=2e-3
    )


def test_certain_positions_are_walked_through() -> None:
    """At temperature 0 nothing is left to chance: the rounds of the walk itself."""
    rng = random.Random(1)
    for _ in range(50):
        accepted = [float(rng.random() < 0.7) for _ in range(rng.randrange(1, 40))]
        block, bonus = rng.randrange(1, 8), rng.random() < 0.5
        position = rounds = 0
        while position < len(accepted):
            rounds += 1
            end = min(position + block, len(accepted))
            while position < end and accepted[position]:
                position += 1
            position += position < end or bonus
        assert expected_rounds(accepted, block, bonus=bonus) == rounds


def test_few_tokens() -> None:
    assert expected_rounds([0.5], 5) == 1
    assert expected_rounds([0.25, 0.9], 5) == 1.75
    assert expected_rounds([0.25, 0.9], 5, bonus=True) == 1.75


def timing(compute_ms: float, passes: int) -> law_pb2.StepTiming:
    return law_pb2.StepTiming(compute_ms=compute_ms, passes=passes)


def test_costs_leave_the_prompts_passes_out() -> None:
    """10 rounds of 30 ms; a step of the expert takes 20 ms, of the drafter 2 ms."""
    answers = [
        router_pb2.Statistics(rounds=7, total_ms=680, time_to_first_token_ms=500),
        router_pb2.Statistics(rounds=5, total_ms=620, time_to_first_token_ms=500),
    ]
    costs = costs_of(answers, [timing(16, 8)], [timing(100, 5), timing(60, 3)], block_length=4)
    assert costs is not None
    assert (costs.drafter_step_ms, costs.expert_step_ms, costs.round_ms) == (2, 20, 30)
    assert costs.drafter == pytest.approx(0.1)
    assert costs.other == pytest.approx(30 / 20 - 0.4 - 1)
    assert costs.speed_up(3.0) == pytest.approx(3 * 20 / 30)


def test_answers_of_one_round_cost_what_nobody_knows() -> None:
    answers = [router_pb2.Statistics(rounds=1, total_ms=50, time_to_first_token_ms=50)]
    assert costs_of(answers, [timing(1, 1)], [timing(1, 1)], block_length=4) is None
