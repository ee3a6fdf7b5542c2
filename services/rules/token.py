"""Token rules: one decision to defer for each token (arXiv 2405.19261, Eq. 11).

A token that a rule keeps has ``pi >= q`` and is accepted without a coin.
"""

from torch import Tensor

from services.rules.unscaled import Unscaled


def token_v1(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """TokenV1, Eq. 13: defer token ``v`` iff ``q1(v) < max p1 - alpha``.  bool [..., m].

    A drafted token is trusted where the drafter gives it nearly what the expert gives its
    favourite, whatever that is.  ``alpha`` in [-1, 1]: at 1 nothing is deferred, at -1 all is.
    """
    return q1.at < p1.top - alpha


def token_v2(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """TokenV2, Eq. 14: defer token ``v`` iff ``p1(v) < max p1 - alpha``.  bool [..., m].

    A drafted token is trusted where the expert finds it less likely than its favourite by at most
    ``alpha``.  ``alpha`` in [-1, 1]: at 1 nothing is deferred; at 0 only the expert's favourites
    are kept, which is *not* lossless above temperature 0; below 0 all is deferred, which is.
    """
    return p1.at < p1.top - alpha


def token_v3(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """TokenV3, Eq. 15: defer token ``v`` iff ``p1(v) < (1 - alpha) max p1``.  bool [..., m].

    A drafted token is trusted where the expert itself finds it at least ``1 - alpha`` times as
    likely as its favourite.  ``alpha`` in [0, 1]: at 1 nothing is deferred and ``pi = q``; at 0
    only the expert's favourites are kept, which is *not* lossless above temperature 0.
    """
    return p1.at < (1 - alpha) * p1.top
