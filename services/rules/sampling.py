"""Sampling one token at a position, with the noise of (seed, position, purpose)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.distribution import Candidates, Sampling, candidates, scaled
from services.rules.noise import Purpose, gumbel, gumbel_at, keys


def gumbel_max(weights: Tensor, key: Tensor) -> Tensor:
    """Samples from unnormalised ``weights`` [..., V] with the noise of ``key``: int64 [...]."""
    return (weights.double().log() + gumbel(key, weights.shape[-1])).argmax(-1)


def sample_expert(logits: Tensor, sampling: Sampling, seeds: Tensor, positions: Tensor) -> Tensor:
    """The expert's own token: Gumbel-max over ``p`` with the noise of (seed, position).

    Args:
        logits: floating [S, V].
        sampling: temperature, top-k and top-p.
        seeds, positions: int64 [S].

    Returns:
        int64 [S].
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    return gumbel_max(scaled(logits, sampling), keys(seeds, positions, Purpose.EXPERT))


@dataclass(frozen=True)
class Drafted:
    """What drafting one token at each of S positions gives."""

    ids: Tensor
    """int64 [S]: the sampled tokens."""
    candidates: Candidates
    """``q``, exactly as sampled from: [S, K]."""


def sample_draft(
    logits: Tensor, sampling: Sampling, k: int, seeds: Tensor, positions: Tensor
) -> Drafted:
    """The drafter's token: Gumbel-max over the truncated and rounded ``q``.

    Args:
        logits: floating [S, V].
        sampling: temperature, top-k and top-p.
        k: K, the most candidates.
        seeds, positions: int64 [S].

    Returns:
        The tokens and the distribution that they were sampled from.
    """
    q = candidates(logits, sampling, k)
    noise = gumbel_at(keys(seeds, positions, Purpose.DRAFT), q.ids)
    choice = (q.probabilities().log() + noise).argmax(-1, keepdim=True)
    return Drafted(q.ids.gather(-1, choice).squeeze(-1), q)


@dataclass(frozen=True)
class Confidence:
    """What position rules and confidence measures need of an unscaled distribution, in nats."""

    top_log_prob: Tensor
    """log max q1: [...]."""
    entropy: Tensor
    """Entropy of q1: [...]."""
    log_prob: Tensor
    """log q1 of the given token: [...]."""


def confidence(logits: Tensor, ids: Tensor) -> Confidence:
    """Measures of the unscaled distribution at ``ids``.

    Args:
        logits: floating [..., V].
        ids: int64 [...].
    """
    log_probs = logits.log_softmax(-1)
    entropy = -torch.special.xlogy(log_probs.exp(), log_probs.exp()).sum(-1)
    return Confidence(
        log_probs.amax(-1), entropy, log_probs.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    )
