"""What the expert itself makes of the tokens that a rule emits.

Distance can't tell most rules apart: ``TV(p, q) <= TV(pi, p) + TV(pi, q)``, so that no rule has an
acceptance above that of the lossless one plus its distance, and every rule whose ``pi`` lies
between ``q`` and ``p`` has exactly that.  Regret looks at which tokens the distance is spent on.
"""

import torch
from torch import Tensor

from services.calibrate.positions import Positions
from services.rules.registry import Rule


def regret(rule: Rule, alpha: float, at: Positions, *, greedy: bool) -> Tensor:
    """The mean of ``log max p1 - log p1(v)`` over tokens v of ``pi``, in nats: float64 [n].

    How much less likely than its favourite the expert finds what is emitted.  The expert's own
    tokens have some, too, above temperature 0.

    Args:
        rule: the rule.
        alpha: its leniency.
        at: the positions.
        greedy: temperature 0; else temperature 1 without truncation, where ``p`` is ``p1`` and its
            entropy tells of the tokens that are not listed.
    """
    target = rule.target(at.q1, at.p1, at.q, at.p, alpha)
    below = at.p1.top.log() - at.p1.at.log()
    listed = torch.where(target.at > 0, target.at * below, 0.0).sum(-1)
    if greedy:
        return listed
    p1 = at.p1.at
    mass_beside = 1 - p1.sum(-1, keepdim=True)
    entropy_beside = at.p1.entropy + torch.xlogy(p1, p1).sum(-1, keepdim=True)
    beside = (at.p1.top.log() * mass_beside + entropy_beside).clamp(min=0)
    return listed + (target.rest * beside).squeeze(-1)
