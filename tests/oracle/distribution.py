"""Scaling, truncation and rounding of one position's distribution."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scaling:
    """Temperature (0 is greedy), top-k (0 keeps all), top-p (1 keeps all)."""

    temperature: float
    top_k: int = 0
    top_p: float = 1.0


def softmax(logits: list[float]) -> list[float]:
    """The unscaled distribution."""
    top = max(logits)
    return normalised([math.exp(logit - top) for logit in logits])


def normalised(weights: list[float]) -> list[float]:
    """Weights divided by their sum."""
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def scaled(logits: list[float], scaling: Scaling) -> list[float]:
    """After temperature, top-k, then top-p over what top-k left."""
    return _spread(len(logits), _kept(logits, scaling))


def drafted(logits: list[float], scaling: Scaling, k: int) -> list[float]:
    """The drafter's ``q``: scaled, cut to its k most likely tokens, rounded to 1/512 nat.

    What lies more than 16383/512 nats below the first is dropped.
    """
    kept = list(_kept(logits, scaling))[:k]
    if scaling.temperature == 0:
        return _spread(len(logits), dict.fromkeys(kept, 1.0))
    top = logits[kept[0]] / scaling.temperature
    weights = {}
    for token in kept:
        steps = (top - logits[token] / scaling.temperature) * 512
        if steps < 16383.5:
            weights[token] = math.exp(-round(steps) / 512)
    return _spread(len(logits), weights)


def _kept(logits: list[float], scaling: Scaling) -> dict[int, float]:
    """The tokens that top-k and top-p leave, most likely first, with their weights."""
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if scaling.temperature == 0:
        return {order[0]: 1.0}
    order = order[: scaling.top_k or None]
    masses = softmax([logits[token] / scaling.temperature for token in order])
    kept: dict[int, float] = {}
    before = 0.0
    for token, mass in zip(order, masses, strict=True):
        if kept and scaling.top_p < 1 and before >= scaling.top_p:
            break
        kept[token] = mass
        before += mass
    return kept


def _spread(size: int, weights: dict[int, float]) -> list[float]:
    """Weights of some tokens as a distribution over all."""
    return normalised([weights.get(token, 0.0) for token in range(size)])
