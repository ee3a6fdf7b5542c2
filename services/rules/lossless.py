"""The lossless rule."""

import torch
from torch import Tensor

from services.rules.target import Target
from services.rules.unscaled import Unscaled


def lossless(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Target:
    """``pi = p``: the expert's law, exactly (speculative sampling; docs/rules.md, "Lossless").

    ``alpha`` has no meaning.  Acceptance: ``1 - TV(p, q)``.
    """
    return Target(p, torch.ones_like(p[..., :1]))
