"""Rules that look at the drafter alone: it can decide before the expert has seen the position."""

from torch import Tensor

from services.rules.unscaled import Unscaled


def chow(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """Chow, Eq. 2: defer iff ``max q1 < 1 - alpha``.  bool [..., 1].

    The drafter's word counts where it is sure of something, right or wrong.  ``alpha`` in [0, 1] is
    how far from certain it may be: at 0 every position is deferred but those where it is certain,
    at 1 none is.
    """
    return q1.top < 1 - alpha


def chow_log(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """ChowLog: defer iff ``entropy(q1) > alpha``, in nats.  bool [..., 1].

    ``alpha`` >= 0 is the uncertainty that the drafter is allowed: at 0 every position is deferred
    but those where it is certain; from the logarithm of the vocabulary's size on, none is.
    """
    return q1.entropy > alpha
