"""A rule over its alphas, on the stored distributions of all prompts."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from services.calibrate.costs import Costs
from services.calibrate.estimate import Estimate, estimate
from services.calibrate.outcome import evaluate
from services.calibrate.positions import Positions
from services.calibrate.rounds import expected_rounds
from services.rules.distribution import Sampling
from services.rules.law import Law
from services.rules.registry import Rule


@dataclass(frozen=True)
class Point:
    """One alpha.  All but tokens a round are means over prompts of a mean over positions."""

    alpha: float
    acceptance: float
    """Of drafted tokens that are looked at."""
    tokens_per_round: float
    """Tokens of all prompts by their expected rounds."""
    speed_up: float | None
    """Predicted, of decoding, against the expert alone.  None: no round was timed."""
    distance: Estimate
    """TV(pi, p)."""
    expert_share: Estimate | None
    """Share of the drafter's word that the rule defers.  None: the rule makes no decision."""
    agreement: float
    """With the expert's greedy answer."""


def point(
    rule: Rule,
    alpha: float,
    samples: Sequence[Positions],
    sampling: Sampling,
    block_length: int,
    costs: Costs | None = None,
) -> Point:
    """Evaluates a rule at one alpha.

    Args:
        rule: the rule.
        alpha: its leniency.
        samples: of each prompt, at least one.
        sampling: that of the samples.
        block_length: tokens drafted in a round.
        costs: what to predict the speed from.
    """
    bonus = Law(rule, alpha, sampling, candidates=1).allows_bonus
    outcomes = [evaluate(rule, alpha, positions) for positions in samples]
    rounds = sum(
        expected_rounds(outcome.acceptance.tolist(), block_length, bonus=bonus)
        for outcome in outcomes
    )
    tokens_per_round = sum(map(len, samples)) / rounds
    shares = [float(o.expert_share.mean()) for o in outcomes if o.expert_share is not None]
    return Point(
        alpha=alpha,
        acceptance=statistics.fmean(float(o.acceptance.mean()) for o in outcomes),
        tokens_per_round=tokens_per_round,
        speed_up=costs.speed_up(tokens_per_round) if costs else None,
        distance=estimate([float(o.distance.mean()) for o in outcomes]),
        expert_share=estimate(shares) if shares else None,
        agreement=statistics.fmean(float(o.agreement.mean()) for o in outcomes),
    )
