"""The lossless rule."""

from torch import Tensor


def lossless(q1: Tensor | None, p1: Tensor, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """``pi = p``: the expert's law, exactly (docs/rules.md, "Lossless").

    ``alpha`` has no meaning here.  Shapes: [..., V] each.
    """
    return p
