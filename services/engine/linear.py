"""Weights packed for oneDNN, for the CPU.

torch's own product of a few rows with a large matrix is slow on the CPU: it leaves the weights as
they lie.  oneDNN, in a layout of its own, takes a block of six tokens for little more than one, and
on some CPUs for less: which of its loops it takes depends on the rows.  For one or two FBGEMM's
kernel is faster, which reads the same weights from a copy in float16.
"""

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from services.engine.float16 import Float16Linear

_ROWS_HINT = 8
"""The number of rows that the layout is chosen for: a block."""

FILLED_ROWS = 6
"""Fewer are filled up to so many where that is faster (``choose_rows``).  On Zen 4 the products of
1, 2, 4, 6 and 8 rows with 1.5 billion weights take 126, 136, 112, 107 and 131 ms."""

COPY_ROWS = 2
"""So many at most are given to the copy in float16, if there is one.  On Zen 4 it takes 98 and 106
ms for 1 and 2 rows with 1.5 billion weights where oneDNN takes 121 to 145, and as long for 4."""

_SWEEPS = 5
_GAIN = 0.95
"""Filling up has to bring a pass down to this share of its time."""
_CACHES = 100 << 20
"""Bytes: no CPU's caches keep so much from one pass to the next."""


class PackedLinear(nn.Module):
    """An ``nn.Linear`` whose weights lie as oneDNN wants them.  Inference only."""

    def __init__(self, linear: nn.Linear, few: Float16Linear | None = None) -> None:
        """``few``: a copy of it, for passes of few rows."""
        super().__init__()
        self._few = few
        self._packed = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach().contiguous(), _ROWS_HINT
        )
        self._bias = None if linear.bias is None else linear.bias.detach().clone()
        self.weight_bytes = linear.weight.nbytes
        """Memory of the packed weights, without the copy's: what they took before."""
        self.in_features = linear.in_features
        self.least_rows = 1
        """Fewer are filled up to so many."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        given = x.numel() // self.in_features
        if (copy := self._copy(given)) is not None:
            few: Tensor = copy(x.float())
            return few.to(x.dtype)
        if given >= self.least_rows:
            return self._product(x)
        filled = x.new_zeros(self.least_rows, self.in_features)
        filled[:given] = x.reshape(given, -1)
        return self._product(filled)[:given].view(*x.shape[:-1], -1)

    def rows_for(self, given: int) -> int:
        """How many rows it is best given in place of so many: it adds none to those itself."""
        return max(given, self.least_rows) if self._copy(given) is None else given

    def joins(self, x: Tensor) -> bool:
        """Whether oneDNN is given the rows as they are, and so does what follows in one go."""
        given = x.numel() // self.in_features
        return given >= self.least_rows and self._copy(given) is None

    def silu(self, x: Tensor) -> Tensor:
        """SiLU of the product; only where it ``joins``, as the next two."""
        return self._product(x, "swish")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The product times ``other``, element by element."""
        return self._joined(x, other, "mul")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The product plus ``other``."""
        return self._joined(x, other, "add")

    def _copy(self, given: int) -> Float16Linear | None:
        """The copy, if it is to take so many rows."""
        return self._few if given <= COPY_ROWS else None

    def _product(self, x: Tensor, then: str = "none") -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise.default(
            x, self._packed, self._bias, then, [], ""
        )
        return out

    def _joined(self, x: Tensor, other: Tensor, how: str) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self._packed, self._bias, how
        )
        return out


@torch.inference_mode()
def choose_rows(layers: Sequence[PackedLinear], dtype: torch.dtype, rows: int = 1) -> int:
    """Times a pass of few rows beside one that is filled up, and sets what is faster.

    The law is the same: no row enters another's sums, whose order alone may be another.

    Args:
        layers: all of a model.  Where they fit a CPU's caches nothing is timed and nothing filled
            up: no step waits for them.
        dtype: what the model computes in.
        rows: the fewest that come to them.

    Returns:
        ``least_rows`` of each of them now: 1 or ``FILLED_ROWS``.
    """
    if sum(layer.weight_bytes for layer in layers) < _CACHES:
        return 1
    times: dict[int, list[float]] = {1: [], FILLED_ROWS: []}
    for _ in range(1 + _SWEEPS):
        for least, taken in times.items():
            _set_rows(layers, least)
            start = time.perf_counter()
            for layer in layers:
                layer(torch.zeros(rows, layer.in_features, dtype=dtype))
            taken.append(time.perf_counter() - start)
    # The first of each is a warm-up.
    alone, filled = (statistics.median(taken[1:]) for taken in times.values())
    chosen = FILLED_ROWS if filled < _GAIN * alone else 1
    _set_rows(layers, chosen)
    return chosen


def _set_rows(layers: Sequence[PackedLinear], least: int) -> None:
    for layer in layers:
        layer.least_rows = least


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this CPU packs weights of ``dtype``."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
