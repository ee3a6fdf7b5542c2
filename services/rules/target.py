"""The target ``pi`` of a rule at some positions, and two ways to mix it from ``q`` and ``p``."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Target:
    """``pi`` on m listed tokens, and beside them.

    The list holds every token with ``q > 0``.  Elsewhere each rule's target is a share of ``p``,
    the same for all tokens of the position, and at most 1.
    """

    at: Tensor
    """``pi`` of the listed tokens: [..., m]."""
    rest: Tensor
    """``pi / p`` of every other token: [..., 1]."""


def mix(defer: Tensor, q: Tensor, p: Tensor) -> Target:
    """The target of a position rule: ``pi = (1 - r) q + r p``.

    Args:
        defer: bool [..., 1], ``r``.
        q, p: scaled distributions on the listed tokens, [..., m].
    """
    r = defer.to(p.dtype)
    return Target((1 - r) * q + r * p, r)


def mix_tokens(defer: Tensor, q: Tensor, p: Tensor) -> Target:
    """The target of a token rule, Eq. 11: ``pi(v) = q(v) (1 - r(v)) + p(v) eta``.

    ``eta = sum_u r(u) q(u)`` is the mass that the rule takes from the drafter.

    Args:
        defer: bool [..., m], ``r``.
        q, p: scaled distributions on the listed tokens, [..., m].
    """
    deferred = q * defer
    eta = deferred.sum(-1, keepdim=True)
    return Target((q - deferred) + p * eta, eta)
