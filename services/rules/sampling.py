"""Sampling one token at a position, with the noise of (seed, position, purpose)."""

from dataclasses import dataclass

from torch import Tensor

from services.rules.distribution import Candidates, Sampling, Scaled, candidates
from services.rules.noise import Purpose, gumbel, gumbel_at, keys


def gumbel_max(log_weights: Tensor, key: Tensor) -> Tensor:
    """Samples a token by ``argmax_v (log w(v) + g(v))``.

    Args:
        log_weights: logarithms of unnormalised weights, floating [..., V].
        key: of the noise g, int64 [...].

    Returns:
        int64 [...].
    """
    return gumbel(key, log_weights.shape[-1]).add_(log_weights).argmax(-1)


def sample(p: Scaled, key: Tensor) -> Tensor:
    """Samples from ``p`` [..., V] with the noise of ``key`` [...]; at temperature 0 without."""
    return p.favourite if p.greedy else gumbel_max(p.logits, key)


def sample_expert(logits: Tensor, sampling: Sampling, seeds: Tensor, positions: Tensor) -> Tensor:
    """The expert's own token: Gumbel-max over ``p`` with the noise of (seed, position).

    Args:
        logits: floating [S, V].
        sampling: temperature, top-k and top-p.
        seeds, positions: int64 [S].

    Returns:
        int64 [S].
    """
    return sample(Scaled.of(logits, sampling), keys(seeds, positions, Purpose.EXPERT))


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
        seeds, positions: int64 [S].
        purpose: of the noise; EXPERT where it is coupled.

    Returns:
        The tokens and the distribution that they were sampled from.
    """
    q = candidates(logits, sampling, k)
    noise = gumbel_at(keys(seeds, positions, purpose), q.ids)
    choice = (q.probabilities().log() + noise).argmax(-1, keepdim=True)
    return Drafted(q.ids.gather(-1, choice).squeeze(-1), q)
