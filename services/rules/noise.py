"""Keyed randomness: every coin and sample is a function of (seed, position, purpose).

A counter-based generator: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) applied
to a key made of seed, position and purpose, and to the token id.  Nothing is drawn from a state, so
the same request gives the same noise whatever the batch, the block boundaries or a retry.
"""

import functools
from enum import IntEnum
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bits = TypeVar("Bits", Tensor, NDArray[np.int64])
"""64 bits each, as int64: their arithmetic wraps around."""


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


def _shift_right(x: Bits, bits: int) -> Bits:
    """Logical shift, of the bits as they are unsigned: int64's own keeps the sign."""
    shifted = x >> bits
    shifted &= (1 << (64 - bits)) - 1
    return shifted


def _mix_(x: Bits) -> Bits:
    """SplitMix64's finaliser, a bijection of 64 bits.  In place."""
    x ^= _shift_right(x, 30)
    x *= _MIX_1
    x ^= _shift_right(x, 27)
    x *= _MIX_2
    x ^= _shift_right(x, 31)
    return x


def seeds_tensor(seeds: list[int]) -> Tensor:
    """Unsigned 64-bit seeds as int64 [S], on the host."""
    return torch.tensor([_signed(seed) for seed in seeds], dtype=torch.int64)


def keys(seeds: Tensor, positions: Tensor, purpose: Purpose) -> Tensor:
    """Keys of the noise.

    They are made on the host, and by numpy: of a handful of numbers thirty operations of torch's
    cost more than a block's whole decision otherwise does, on a device as on the CPU.

    Args:
        seeds: int64, any shape, on the host.
        positions: int64, broadcastable with ``seeds``, on the host; index of the token in prompt
            and answer.
        purpose: what the noise is for.

    Returns:
        int64 of the broadcast shape, on the host.
    """
    key = _mix_(seeds.numpy() + _WEYL)
    key = _mix_(key + (positions.numpy() + 1) * _WEYL)
    return torch.from_numpy(_mix_(key + _signed(int(purpose) * 0x9E3779B97F4A7C15 % 2**64)))


def _unit(bits: Tensor) -> Tensor:
    """float64 in the open interval (0, 1) from the upper 52 bits."""
    # Not 53: a double has no room for the half beside so many bits, and the largest would become 1.
    return _shift_right(bits, 12).double().add_(0.5).mul_(2.0**-52)


def uniform(key: Tensor) -> Tensor:
    """One number in (0, 1) for each key: float64 of the keys' shape, on the host as they are."""
    return _unit(torch.from_numpy(_mix_(key.numpy() + _WEYL)))


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


def gumbel_at(key: Tensor, ids: Tensor, size: int) -> Tensor:
    """The same noise as ``gumbel``, for chosen tokens only.

    Args:
        key: int64 [...].
        ids: int64 [..., K].
        size: V.

    Returns:
        float64 [..., K].
    """
    counters = key.unsqueeze(-1) + _vocabulary(size, key.device)[ids]
    return _unit(_mix_(counters)).log_().neg_().log_().neg_()
