"""Rules that compare both models and decide once for a position (arXiv 2405.19261, Section 4)."""

from torch import Tensor

from services.rules.unscaled import Unscaled


def diff(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """Diff, Eq. 5: defer iff ``max q1 < max p1 - alpha``.  bool [..., 1].

    The drafter's word counts unless the expert is surer by more than ``alpha``.  ``alpha`` in
    [-1, 1]: at 1 nothing is deferred; at 0 whoever is surer speaks; at -1 all is deferred.
    """
    return q1.top < p1.top - alpha


def opt(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """OPT, Eq. 10: defer iff ``max q1 < max p1 - alpha TV(p, q)``.  bool [..., 1].

    As Diff, with a margin that grows with the chance of a rejection, which is what deferring costs.
    ``alpha`` in [0, 1]: at 0 whoever is surer speaks; at 1 and temperature 1 without truncation
    nothing is deferred, since ``|max q - max p| <= TV(p, q)``.
    """
    # q is 0 beside the listed tokens, so that nothing of this sum is missing.
    tv = (q - p).clamp(min=0).sum(-1, keepdim=True)
    return q1.top < p1.top - alpha * tv


def bild(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Tensor:
    """BiLD*: defer iff ``-log p1(argmax q1) > alpha``, in nats.  bool [..., 1].

    The drafter's word counts where its favourite does not surprise the expert.  ``alpha`` >= 0 is
    the surprise that is allowed: at 0 every position is deferred but those where the expert is
    certain of the drafter's favourite; the larger, the fewer.
    """
    return -p1.at.gather(-1, q1.top_index).log() > alpha
