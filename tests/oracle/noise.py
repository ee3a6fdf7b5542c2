"""Keyed noise by its definition: SplitMix64 over seed, position, purpose and token."""

import functools
import math

EXPERT, DRAFT, ACCEPT, RESAMPLE = 1, 2, 3, 4
"""Purposes."""

_MASK = (1 << 64) - 1
_WEYL = 0x9E3779B97F4A7C15


def _mix(x: int) -> int:
    x &= _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _key(seed: int, position: int, purpose: int) -> int:
    return _mix(_mix(_mix(seed + _WEYL) + (position + 1) * _WEYL) + purpose * _WEYL)


@functools.lru_cache(maxsize=4096)
def _token_hash(token: int) -> int:
    return _mix((token + 1) * _WEYL)


def _unit(bits: int) -> float:
    return ((bits >> 12) + 0.5) / 2**52


def uniform(seed: int, position: int, purpose: int) -> float:
    """A number in (0, 1)."""
    return _unit(_mix(_key(seed, position, purpose) + _WEYL))


def gumbel_max(weights: list[float], seed: int, position: int, purpose: int) -> int:
    """Samples a token from unnormalised weights, one for each entry of the vocabulary."""
    key = _key(seed, position, purpose)
    return max(
        (token for token, weight in enumerate(weights) if weight > 0),
        key=lambda token: math.log(weights[token]) + _gumbel(key, token),
    )


def gumbel(seed: int, position: int, purpose: int, token: int) -> float:
    """A token's standard Gumbel noise."""
    return _gumbel(_key(seed, position, purpose), token)


def _gumbel(key: int, token: int) -> float:
    return -math.log(-math.log(_unit(_mix(key + _token_hash(token)))))
