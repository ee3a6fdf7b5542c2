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

_NUCLEUS_LOOKS = (64, 1024)

_LISTED_AT_MOST = 64
"""A list of more than this part of the vocabulary costs more to look through than it saves."""


@dataclass(frozen=True)
class Sampling:
    """How a request scales both models' distributions."""

    temperature: float = 0.0
    """0 is greedy."""
    top_k: int = 0
    """0 keeps all."""
    top_p: float = 1.0
    """1 keeps all."""

    @property
    def neutral(self) -> bool:
        """Whether scaling changes nothing."""
        return self.temperature == 1 and self.top_k == 0 and self.top_p >= 1


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
    """Scaled distributions over V tokens, spelled out only where they are asked for."""

    logits: Tensor
    """Floating [..., V], or [..., m] of the tokens that top-k and top-p left."""
    ids: Tensor | None
    """These tokens, int64 [..., m]; an entry that was cut has the logit -inf.  None: all V."""
    normalizer: Tensor | None
    """``log sum exp`` of the logits, float64 [..., 1].  None at temperature 0, which is greedy."""
    size: int
    """V."""

    @classmethod
    def of(cls, logits: Tensor, sampling: Sampling) -> "Scaled":
        """Scales a model's logits, floating [..., V]."""
        size = logits.shape[-1]
        if sampling.temperature == 0:
            return cls(logits, None, None, size)
        return cls(*_truncated(logits, sampling), size)

    def __getitem__(self, index: Any) -> "Scaled":
        """Some of the distributions."""
        parts = (self.logits, self.ids, self.normalizer)
        logits, ids, normalizer = (None if part is None else part[index] for part in parts)
        assert logits is not None
        return Scaled(logits, ids, normalizer, self.size)

    @property
    def greedy(self) -> bool:
        """Whether the most likely token has all the mass."""
        return self.normalizer is None

    @cached_property
    def favourite(self) -> Tensor:
        """The most likely token: int64 [...]."""
        return self.token(most_likely(self.logits))

    def token(self, index: Tensor) -> Tensor:
        """The tokens at some places of the last dimension: int64 [...]."""
        if self.ids is None:
            return index
        return self.ids.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def at(self, ids: Tensor) -> Tensor:
        """Probabilities of some tokens: int64 [..., k] to float64 [..., k]."""
        if self.normalizer is None:
            return (ids == self.favourite.unsqueeze(-1)).double()
        if self.ids is None:
            logits = self.logits.gather(-1, ids)
        else:
            same = ids.unsqueeze(-1) == self.ids.unsqueeze(-2)
            logits = torch.where(same, self.logits.unsqueeze(-2), -torch.inf).amax(-1)
        return (logits.double() - self.normalizer).exp()

    def spread(self) -> Tensor:
        """The logits of all tokens, [..., V]: -inf where top-k or top-p cut."""
        if self.ids is None:
            return self.logits
        whole = self.logits.new_full((*self.logits.shape[:-1], self.size), -torch.inf)
        return whole.scatter_(-1, self.ids, self.logits)

    def dense(self) -> Tensor:
        """Probabilities of all tokens, [..., V], of the logits' dtype."""
        return one_hot(self.logits) if self.greedy else self.spread().softmax(-1)


def most_likely(logits: Tensor) -> Tensor:
    """The most likely token, of several alike the first: floating [..., V] to int64 [...].

    ``argmax`` gives the same, and on the CPU takes four times as long for bfloat16.
    """
    return logits.max(-1).indices


def one_hot(logits: Tensor) -> Tensor:
    """The greedy distribution: 1 at the argmax.  [..., V] to [..., V]."""
    return torch.zeros_like(logits).scatter_(-1, most_likely(logits).unsqueeze(-1), 1.0)


def scaled(logits: Tensor, sampling: Sampling) -> Tensor:
    """The scaled distribution, spelled out: floating [..., V] to probabilities [..., V]."""
    return Scaled.of(logits, sampling).dense()


def _truncated(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None, Tensor]:
    """Scaled logits, after top-k, then top-p over what top-k left.

    Returns:
        The logits, the tokens that they are of (None: all), and ``log sum exp``; see ``Scaled``.
    """
    if sampling.temperature != 1:
        logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        top, ids = logits.topk(sampling.top_k)
        mass = top.softmax(-1)
    else:
        total = logits.logsumexp(-1, keepdim=True)
        if sampling.top_p >= 1:
            return logits, None, total.double()
        top, ids, mass = _nucleus_part(logits, total, sampling.top_p)
    if sampling.top_p < 1:
        top = torch.where(_leading(top, mass, sampling.top_p), top, -torch.inf)
    normalizer = top.logsumexp(-1, keepdim=True).double()
    if top.shape[-1] * _LISTED_AT_MOST > logits.shape[-1]:
        return torch.full_like(logits, -torch.inf).scatter_(-1, ids, top), None, normalizer
    return top, ids, normalizer


def _leading(top: Tensor, mass: Tensor, top_p: float) -> Tensor:
    """Which tokens are of the smallest leading set with ``top_p`` of the mass.

    All that are as likely as its last one are: else which of them would depend on how they were
    sorted, and so on what else is in the call.

    Args:
        top: logits, the largest first, [..., m].
        mass: of these tokens, [..., m].
        top_p: in [0, 1).

    Returns:
        bool [..., m]; the first is always.
    """
    needed = mass.cumsum(-1) - mass < top_p
    needed[..., 0] = True
    return top >= torch.where(needed, top, torch.inf).amin(-1, keepdim=True)


def _nucleus_part(logits: Tensor, total: Tensor, top_p: float) -> tuple[Tensor, Tensor, Tensor]:
    """The most likely tokens with ``top_p`` of the mass, and more: logits, ids, mass [..., m].

    A full sort of a large vocabulary is slow, and seldom needed to find them: less so than asking
    whether it is, for which a device is waited for.
    """
    for look in _NUCLEUS_LOOKS:
        if look < logits.shape[-1]:
            top, ids = logits.topk(look)
            mass = (top - total).exp()
            # Without those that others, not listed, may be as likely as.
            above = torch.where(top > top[..., -1:], mass, 0)
            if bool((above.sum(-1) >= top_p).all()):
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
        ids = most_likely(logits).unsqueeze(-1)
        return Candidates(ids, torch.zeros_like(ids))
    size = logits.shape[-1]
    top_k = min(sampling.top_k or size, size)
    top, ids = logits.topk(min(k, top_k))
    top = top.double() / sampling.temperature
    drops = ((top[..., :1] - top) * DROPS_PER_NAT).round().clamp(max=MAX_DROP + 1).long()
    keep = drops <= MAX_DROP
    if sampling.top_p < 1:
        rest = logits if top_k == size else logits.topk(top_k).values
        rest = rest.double() / sampling.temperature
        mass = (top - rest.logsumexp(-1, keepdim=True)).exp()
        keep &= _leading(top, mass, sampling.top_p)
    return Candidates(ids, torch.where(keep, drops, -1))
