"""Keyed randomness: every coin and sample is a function of (seed, position, purpose).

A counter-based generator: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) applied
to a key made of seed, position and purpose, and to the token id.  Nothing is drawn from a state, so
the same request gives the same noise whatever the batch, the block boundaries or a retry.
"""

import functools
from enum import IntEnum

import torch
from torch import Tensor


class Purpose(IntEnum):
    """What a random number is for.  Numbers for different purposes are independent."""

    EXPERT = 1
    """Gumbel noise of the expert's own token; coupled, of the drafted one, too."""
    DRAFT = 2
    """Gumbel noise of the drafted token, unless it is coupled."""
    ACCEPT = 3
    """The coin that a drafted token is accepted with."""
    RESAMPLE = 4
    """Gumbel noise of the token in place of a rejected one."""


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit ``value``."""
    return value - (1 << 64) if value >= 1 << 63 else value


_WEYL = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift_right(x: Tensor, bits: int, out: Tensor | None = None) -> Tensor:
    """Logical shift: torch's own keeps the sign."""
    return torch.bitwise_right_shift(x, bits, out=out).bitwise_and_((1 << (64 - bits)) - 1)


def _mix_(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection of int64 (arithmetic wraps around).  In place.

    On rows of a whole vocabulary fresh memory for each operation would cost more than the
    arithmetic.
    """
    scratch = torch.empty_like(x)
    x.bitwise_xor_(_shift_right(x, 30, scratch)).mul_(_MIX_1)
    x.bitwise_xor_(_shift_right(x, 27, scratch)).mul_(_MIX_2)
    return x.bitwise_xor_(_shift_right(x, 31, scratch))


def seeds_tensor(seeds: list[int], device: torch.device | None = None) -> Tensor:
    """Unsigned 64-bit seeds as int64 [S]."""
    return torch.tensor([_signed(seed) for seed in seeds], dtype=torch.int64, device=device)


def keys(seeds: Tensor, positions: Tensor, purpose: Purpose) -> Tensor:
    """Keys of the noise.

    Args:
        seeds: int64, any shape.
        positions: int64, broadcastable with ``seeds``; index of the token in prompt and answer.
        purpose: what the noise is for.

    Returns:
        int64 of the broadcast shape.
    """
    key = _mix_(seeds + _WEYL)
    key = _mix_(key + (positions + 1) * _WEYL)
    return _mix_(key + _signed(int(purpose) * 0x9E3779B97F4A7C15 % 2**64))


def _unit(bits: Tensor) -> Tensor:
    """float64 in the open interval (0, 1) from the upper 52 bits."""
    # Not 53: a double has no room for the half beside so many bits, and the largest would become 1.
    return _shift_right(bits, 12).double().add_(0.5).mul_(2.0**-52)


def uniform(key: Tensor) -> Tensor:
    """One number in (0, 1) for each key: float64 of the keys' shape."""
    return _unit(_mix_(key + _WEYL))


@functools.lru_cache(maxsize=8)
def _vocabulary(size: int, device: torch.device) -> Tensor:
    return _mix_(torch.arange(1, size + 1, dtype=torch.int64, device=device) * _WEYL)


def exponential(key: Tensor, size: int) -> Tensor:
    """Standard exponential noise for each token of a vocabulary: ``exp(-g)`` of Gumbel noise g.

    Args:
        key: int64 [...].
        size: V.

    Returns:
        float64 [..., V], above 0.
    """
    return _unit(_mix_(key.unsqueeze(-1) + _vocabulary(size, key.device))).log_().neg_()


def gumbel(key: Tensor, size: int) -> Tensor:
    """Standard Gumbel noise for each token of a vocabulary: as ``exponential``."""
    return exponential(key, size).log_().neg_()


def gumbel_at(key: Tensor, ids: Tensor) -> Tensor:
    """The same noise as ``gumbel``, for chosen tokens only.

    Args:
        key: int64 [...].
        ids: int64 [..., K].

    Returns:
        float64 [..., K].
    """
    counters = key.unsqueeze(-1) + _mix_((ids + 1) * _WEYL)
    return _unit(_mix_(counters)).log_().neg_().log_().neg_()
