"""A rule at one alpha, evaluated along a continuation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.calibrate.positions import Positions
from services.rules.registry import Rule


@dataclass(frozen=True)
class Outcome:
    """What a rule does at n positions: float64 [n] each, between 0 and 1."""

    acceptance: Tensor
    """Chance that a drafted token is accepted: ``sum min(pi, q)``."""
    distance: Tensor
    """``TV(pi, p)``."""
    agreement: Tensor
    """``pi`` of the token that the expert finds the most likely."""
    expert_share: Tensor | None
    """Mass of ``q`` that is deferred, ``sum r q``.  None: the rule makes no decision."""


def evaluate(rule: Rule, alpha: float, at: Positions) -> Outcome:
    """Evaluates a rule.  What is not listed adds to nothing: there ``q`` is 0, and ``pi <= p``."""
    share: Tensor | None = None
    if rule.defer is None:
        target = rule.target(at.q1, at.p1, at.q, at.p, alpha)
    else:
        defer = rule.defer(at.q1, at.p1, at.q, at.p, alpha)
        target = rule.mixed(defer, at.q, at.p)
        share = (defer * at.q).sum(-1)
    return Outcome(
        acceptance=torch.minimum(target.at, at.q).sum(-1).clamp(max=1),
        distance=(target.at - at.p).clamp(min=0).sum(-1),
        agreement=target.at.gather(-1, at.p1.top_index).squeeze(-1),
        expert_share=share,
    )
