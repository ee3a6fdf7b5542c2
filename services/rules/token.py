"""Token rules: one decision to defer for each token (arXiv 2405.19261, Eq. 11)."""

from torch import Tensor


def mix_tokens(defer: Tensor, q: Tensor, p: Tensor) -> Tensor:
    """The target of a token rule, Eq. 11: ``pi(v) = q(v) (1 - r(v)) + p(v) eta``.

    ``eta = sum_u r(u) q(u)`` is the mass that the rule takes from the drafter.

    Args:
        defer: bool [..., V], ``r``.
        q, p: scaled distributions [..., V].

    Returns:
        ``pi`` [..., V].
    """
    deferred = q * defer
    return (q - deferred) + p * deferred.sum(-1, keepdim=True)


def token_v3(q1: Tensor | None, p1: Tensor, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """TokenV3, Eq. 15: defer token ``v`` iff ``p1(v) < (1 - alpha) max p1``.

    A drafted token is trusted where the expert itself finds it at least ``1 - alpha`` times as
    likely as its favourite.  ``alpha`` in [0, 1]: at 1 nothing is deferred and ``pi = q``; at 0
    only the expert's favourites are kept, which is *not* lossless above temperature 0.

    Shapes: [..., V] each; ``q1`` is not looked at.
    """
    return mix_tokens(p1 < (1 - alpha) * p1.amax(-1, keepdim=True), q, p)
