"""Lossy speculative sampling."""

import torch
from torch import Tensor

from services.rules.target import Target
from services.rules.unscaled import Unscaled


def lossy(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Target:
    """``pi = max{min(q, p / (1 - alpha)), p / beta}`` (docs/rules.md, "Lossy").

    Accepts ``x`` with chance ``min(1, p(x) / ((1 - alpha) q(x)))`` and replaces it from
    ``norm(max(0, p / beta - q))``.  ``beta`` solves ``sum max(0, p / beta - q) = sum max(0, q -
    p / (1 - alpha))``; where nothing is rejected it is infinite.

    ``alpha`` in [0, 1) is how much more likely than to the expert a token may be to the drafter
    before it is ever rejected: up to ``1 / (1 - alpha)`` times.  At 0 the rule is lossless, towards
    1 the answer becomes the drafter's.  No effect at temperature 0.
    """
    kept = torch.minimum(q, p / (1 - alpha))
    share = _share(q, p, rejected=(q - kept).sum(-1, keepdim=True))
    return Target(torch.maximum(kept, p * share), share)


def _share(q: Tensor, p: Tensor, rejected: Tensor) -> Tensor:
    """``s = 1 / beta``, [..., 1]: where ``sum max(0, s p - q)`` over all tokens is ``rejected``.

    That sum grows with s, linearly between the points ``q(v) / p(v)`` where token v joins it; what
    is not listed has ``q = 0`` and is in it from the start.
    """
    joins = torch.where(p > 0, q / p, torch.inf)
    joins, order = joins.sort(-1)
    p, q = p.gather(-1, order), q.gather(-1, order)
    unlisted = 1 - p.sum(-1, keepdim=True)
    # With the first i tokens in it, the sum at s is s * mass[i] - lost[i].
    nothing = torch.zeros_like(p[..., :1])
    mass = unlisted + torch.cat([nothing, p.cumsum(-1)], -1)
    lost = torch.cat([nothing, q.cumsum(-1)], -1)
    # Token i + 1 has joined iff the sum at the point where it would is below what is rejected.
    there = torch.where(joins.isinf(), torch.inf, joins * mass[..., :-1] - lost[..., :-1])
    joined = (there < rejected).sum(-1, keepdim=True)
    share = (rejected + lost.gather(-1, joined)) / mass.gather(-1, joined)
    return torch.where(rejected > 0, share, 0.0).clamp(max=1)
