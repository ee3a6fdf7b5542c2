"""From logits to the distributions that count: unscaled, scaled, and the drafter's candidates.

Scaled means: divided by the temperature, then top-k, then top-p over what top-k left, then
renormalised (docs/rules.md, "Temperature").  The drafter's ``q`` is further cut to its K most
likely tokens and rounded to the wire's precision *before* it is sampled from, so that verification
with what crossed the wire is exact (docs/rules.md, "What crosses the network").
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

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


@dataclass(frozen=True)
class Scaled:
    """Scaled distributions [..., V], spelled out only where they are asked for."""

    logits: Tensor
    """Floating [..., V]; above temperature 0 scaled, -inf where top-k or top-p cut."""
    greedy: bool
    """Whether the most likely token has all the mass."""

    @classmethod
    def of(cls, logits: Tensor, sampling: Sampling) -> "Scaled":
        """Scales a model's logits, floating [..., V]."""
        greedy = sampling.temperature == 0
        return cls(logits if greedy else _truncated(logits, sampling), greedy)

    def __getitem__(self, index: Any) -> "Scaled":
        """Some of the distributions."""
        return Scaled(self.logits[index], self.greedy)

    @cached_property
    def favourite(self) -> Tensor:
        """The most likely token: int64 [...]."""
        return self.logits.argmax(-1)

    @cached_property
    def normalizer(self) -> Tensor:
        """Above temperature 0: ``log sum exp`` of the scaled logits, float64 [..., 1]."""
        return self.logits.logsumexp(-1, keepdim=True).double()

    def at(self, ids: Tensor) -> Tensor:
        """Probabilities of some tokens: int64 [..., m] to float64 [..., m]."""
        if self.greedy:
            return (ids == self.favourite.unsqueeze(-1)).double()
        return (self.logits.gather(-1, ids).double() - self.normalizer).exp()

    def dense(self) -> Tensor:
        """Probabilities of all tokens, [..., V], of the logits' dtype."""
        if self.greedy:
            return one_hot(self.logits)
        return self.logits.softmax(-1)


def one_hot(logits: Tensor) -> Tensor:
    """The greedy distribution: 1 at the argmax.  [..., V] to [..., V]."""
    return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)


def scaled(logits: Tensor, sampling: Sampling) -> Tensor:
    """The scaled distribution, spelled out: floating [..., V] to probabilities [..., V]."""
    return Scaled.of(logits, sampling).dense()


def _truncated(logits: Tensor, sampling: Sampling) -> Tensor:
    """Scaled logits [..., V], -inf where top-k, then top-p over what top-k left, cut."""
    if sampling.temperature != 1:
        logits = logits / sampling.temperature
    size = logits.shape[-1]
    if 0 < sampling.top_k < size:
        top, ids = logits.topk(sampling.top_k)
        mass = top.softmax(-1)
    elif sampling.top_p < 1:
        top, ids, mass = _nucleus_part(logits, sampling.top_p)
    else:
        return logits
    if sampling.top_p < 1:
        keep = mass.cumsum(-1) - mass < sampling.top_p
        keep[..., 0] = True  # the smallest leading set with top_p of the mass is never empty
        top = torch.where(keep, top, -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter_(-1, ids, top)


def _nucleus_part(logits: Tensor, top_p: float) -> tuple[Tensor, Tensor, Tensor]:
    """The most likely tokens with ``top_p`` of the mass, and more: logits, ids, mass [..., m].

    A full sort of a large vocabulary is slow on the CPU, and seldom needed to find them.  On CUDA
    it is fast, and asking whether it is needed would wait for the device.
    """
    size = logits.shape[-1]
    total = logits.logsumexp(-1, keepdim=True)
    if logits.device.type == "cpu" and size > _NUCLEUS_FIRST_LOOK:
        top, ids = logits.topk(_NUCLEUS_FIRST_LOOK)
        mass = (top - total).exp()
        if bool((mass.sum(-1) >= top_p).all()):
            return top, ids, mass
    top, ids = logits.sort(-1, descending=True)
    return top, ids, (top - total).exp()


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
