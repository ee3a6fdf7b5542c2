"""The mixture of both models, a baseline that never looks at who is surer."""

import torch
from torch import Tensor

from services.rules.target import Target
from services.rules.unscaled import Unscaled


def ensemble(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Target:
    """``pi = (1 - alpha) p + alpha q`` (docs/rules.md, "Ensemble").

    ``alpha`` in [0, 1] is the drafter's share in every token.  At 0 the rule is lossless, at 1 the
    answer is the drafter's.  Acceptance: ``1 - (1 - alpha) TV(p, q)``.
    """
    return Target((1 - alpha) * p + alpha * q, torch.full_like(p[..., :1], 1 - alpha))
