"""Sampling one token at a position, with the noise of (seed, position, purpose)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.distribution import Candidates, Sampling, Scaled, candidates
from services.rules.noise import Purpose, exponential, gumbel_at, keys

_AT_ONCE = 1 << 20
"""Numbers of noise that are made at once on the CPU: more do not stay in its cache."""


def gumbel_max(log_weights: Tensor, key: Tensor) -> Tensor:
    """Samples a token by ``argmax_v (log w(v) + g(v))``, g Gumbel noise.

    Computed as ``argmax_v (w(v) / e(v))`` with ``e = exp(-g)``, which takes one logarithm less.

    Args:
        log_weights: logarithms of unnormalised weights, floating [..., V].
        key: of the noise g, int64 [...].

    Returns:
        int64 [...].
    """
    size = log_weights.shape[-1]
    rows = max(_AT_ONCE // size, 1) if key.device.type == "cpu" else key.numel()
    parts = zip(key.reshape(-1).split(rows), log_weights.reshape(-1, size).split(rows), strict=True)
    return torch.cat([_race(log_w, k) for k, log_w in parts]).view(key.shape)


def _race(log_weights: Tensor, key: Tensor) -> Tensor:
    """``gumbel_max`` of some rows."""
    weights = (log_weights - log_weights.amax(-1, keepdim=True)).exp_()
    noise = exponential(key, weights.shape[-1])
    return torch.div(weights, noise, out=noise).argmax(-1)


def sample(p: Scaled, key: Tensor) -> Tensor:
    """Samples from ``p`` [..., V] with the noise of ``key`` [...]; at temperature 0 without."""
    if p.greedy:
        return p.favourite
    if p.ids is None:
        return gumbel_max(p.logits, key)
    return p.token(gumbel_at(key, p.ids, p.size).add_(p.logits).argmax(-1))


def sample_expert(logits: Tensor, sampling: Sampling, seeds: Tensor, positions: Tensor) -> Tensor:
    """The expert's own token: Gumbel-max over ``p`` with the noise of (seed, position).

    Args:
        logits: floating [S, V].
        sampling: temperature, top-k and top-p.
        seeds, positions: int64 [S], on the host.

    Returns:
        int64 [S].
    """
    key = keys(seeds, positions, Purpose.EXPERT).to(logits.device, non_blocking=True)
    return sample(Scaled.of(logits, sampling), key)


@dataclass(frozen=True)
class Drafted:
    """What drafting one token at each of S positions gives."""

    ids: Tensor
    """int64 [S]: the sampled tokens."""
    candidates: Candidates
    """``q``, exactly as sampled from: [S, K]."""


def sample_draft(
    logits: Tensor,
    sampling: Sampling,
    k: int,
    seeds: Tensor,
    positions: Tensor,
    purpose: Purpose = Purpose.DRAFT,
) -> Drafted:
    """The drafter's token: Gumbel-max over the truncated and rounded ``q``.

    Args:
        logits: floating [S, V].
        sampling: temperature, top-k and top-p.
        k: K, the most candidates.
        seeds, positions: int64 [S], on the host.
        purpose: of the noise; EXPERT where it is coupled.

    Returns:
        The tokens and the distribution that they were sampled from.
    """
    q = candidates(logits, sampling, k)
    key = keys(seeds, positions, purpose).to(logits.device, non_blocking=True)
    noise = gumbel_at(key, q.ids, logits.shape[-1])
    choice = (q.probabilities().log() + noise).argmax(-1, keepdim=True)
    return Drafted(q.ids.gather(-1, choice).squeeze(-1), q)
