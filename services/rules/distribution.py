"""From logits to the distributions that count: unscaled, scaled, and the drafter's candidates.

Scaled means: divided by the temperature, then top-k, then top-p over what top-k left, then
renormalised (docs/rules.md, "Temperature").  The drafter's ``q`` is further cut to its K most
likely tokens and rounded to the wire's precision *before* it is sampled from, so that verification
with what crossed the wire is exact (docs/rules.md, "What crosses the network").
"""

from dataclasses import dataclass

import torch
from torch import Tensor

DROPS_PER_NAT = 512
"""Resolution of the candidates' log-probabilities on the wire."""

MAX_DROP = 16383
"""Candidates further below the first (32 nats) are dropped; two bytes hold every other."""

_NUCLEUS_FIRST_LOOK = 1024


@dataclass(frozen=True)
class Sampling:
    """How a request scales both models' distributions."""

    temperature: float = 0.0
    """0 is greedy."""
    top_k: int = 0
    """0 keeps all."""
    top_p: float = 1.0
    """1 keeps all."""


@dataclass(frozen=True)
class Candidates:
    """The drafter's distribution ``q`` at some positions, as sampled from and as it crosses."""

    ids: Tensor
    """int64 [..., K], most likely first."""
    drops: Tensor
    """int64 [..., K]: log-probability below the first in 1/512 nat; -1 where there is none."""

    def probabilities(self) -> Tensor:
        """``q`` on the candidates: float64 [..., K], summing to 1, 0 where there is none."""
        weights = torch.exp(self.drops.double() / -DROPS_PER_NAT)
        weights = torch.where(self.drops >= 0, weights, 0.0)
        return weights / weights.sum(-1, keepdim=True)

    def dense(self, size: int, dtype: torch.dtype) -> Tensor:
        """``q`` on the whole vocabulary: ``dtype`` [..., size]."""
        q = torch.zeros(*self.ids.shape[:-1], size, dtype=dtype, device=self.ids.device)
        return q.scatter_add_(-1, self.ids, self.probabilities().to(dtype))


def one_hot(logits: Tensor) -> Tensor:
    """The greedy distribution: 1 at the argmax.  [..., V] to [..., V]."""
    return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)


def scaled(logits: Tensor, sampling: Sampling) -> Tensor:
    """The scaled distribution.

    Args:
        logits: floating [..., V].
        sampling: temperature, top-k and top-p.

    Returns:
        Probabilities of the same dtype and shape.
    """
    if sampling.temperature == 0:
        return one_hot(logits)
    logits = logits / sampling.temperature
    size = logits.shape[-1]
    if 0 < sampling.top_k < size:
        top, ids = logits.topk(sampling.top_k)
        kept = _nucleus(top.softmax(-1), sampling.top_p)
        return torch.zeros_like(logits).scatter_(-1, ids, kept)
    if sampling.top_p >= 1:
        return logits.softmax(-1)
    # A full sort of a large vocabulary is slow, and seldom needed to find the nucleus.
    total = logits.logsumexp(-1, keepdim=True)
    for look in (_NUCLEUS_FIRST_LOOK, size):
        top, ids = logits.topk(min(look, size))
        mass = (top - total).exp()
        if look >= size or bool((mass.sum(-1) >= sampling.top_p).all()):
            break
    return torch.zeros_like(logits).scatter_(-1, ids, _nucleus(mass, sampling.top_p))


def _nucleus(mass: Tensor, top_p: float) -> Tensor:
    """The smallest leading set with at least ``top_p`` of the mass, renormalised.

    ``mass`` [..., m] is sorted, most likely first; the first is always kept.
    """
    if top_p < 1:
        before = mass.cumsum(-1) - mass
        keep = before < top_p
        keep[..., 0] = True
        mass = torch.where(keep, mass, 0.0)
    return mass / mass.sum(-1, keepdim=True)


def candidates(logits: Tensor, sampling: Sampling, k: int) -> Candidates:
    """The drafter's ``q``: scaled, cut to its ``k`` most likely tokens, rounded.

    Args:
        logits: floating [..., V].
        sampling: temperature, top-k and top-p.
        k: K, at least 1.

    Returns:
        Candidates with at most ``min(k, V)`` entries for each position.
    """
    if sampling.temperature == 0:
        ids = logits.argmax(-1, keepdim=True)
        return Candidates(ids, torch.zeros_like(ids))
    logits = logits.double() / sampling.temperature
    size = logits.shape[-1]
    top_k = min(sampling.top_k or size, size)
    top, ids = logits.topk(min(k, top_k))
    drops = ((top[..., :1] - top) * DROPS_PER_NAT).round().clamp(max=MAX_DROP + 1).long()
    keep = drops <= MAX_DROP
    if sampling.top_p < 1:
        rest = logits if top_k == size else logits.topk(top_k).values
        mass = (top - rest.logsumexp(-1, keepdim=True)).exp()
        keep &= mass.cumsum(-1) - mass < sampling.top_p
        keep[..., 0] = True
    return Candidates(ids, torch.where(keep, drops, -1))
