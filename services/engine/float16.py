"""Linear layers with weights in 16 bits and arithmetic in float32.

A step of few rows waits for the weights to be read.  Published weights are in 16 bits mostly, and
a float32 model of them reads twice what they tell.  FBGEMM's kernel reads float16, makes float32 of
it in registers, and multiplies and adds in float32: where float16 holds a layer's weights exactly,
the layer is the float32 one, but for the order of sums.  It holds those that were bfloat16, unless
within a layer one is some 2^30 times another: powers of two may be taken out of them.

A CPU that lacks bfloat16 keeps whole models so; one that has it can keep the weights of a bfloat16
model so once more, for passes of a row or two (``linear.py``).
"""

import torch
from torch import Tensor, nn

_ROWS = 4096
"""Looked at at a time: a whole output layer's copies would need a gigabyte and more."""
_TOP = 15
"""Exponent of the largest weight once scaled: float16 ends at 2^16."""
_MOST = 100
"""Exponent of the largest scale: float32 ends at 2^128."""


class Float16Linear(nn.Module):
    """An ``nn.Linear`` of float32 whose weights are kept in float16.  Inference only."""

    def __init__(self, linear: nn.Linear, scale: float = 1.0) -> None:
        """``scale``: the weights are multiplied by it before they are rounded, a power of two."""
        super().__init__()
        weight = linear.weight.detach()
        bias = None if linear.bias is None else linear.bias.detach().clone()
        self._packed = torch.ops.quantized.linear_prepack_fp16((weight * scale).contiguous(), bias)
        self._unscale = 1 / scale
        self.weight_bytes = weight.nbytes // 2
        """Memory of the packed weights."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        scaled = x if self._unscale == 1 else x * self._unscale
        out: Tensor = torch.ops.quantized.linear_dynamic_fp16(scaled, self._packed)
        return out


def has_kernels() -> bool:
    """Whether this CPU has FBGEMM's: x86 with AVX2."""
    return torch.backends.quantized.engine in ("x86", "fbgemm")


def halved(linear: nn.Linear) -> Float16Linear | None:
    """The same layer in half the memory; None: float16 does not hold its weights exactly."""
    scale = _exact_scale(linear.weight.detach())
    return None if scale is None else Float16Linear(linear, scale)


def copied(linear: nn.Linear) -> Float16Linear | None:
    """A copy of a bfloat16 layer, with weights in float16; None: it does not hold them exactly."""
    same = nn.Linear(linear.in_features, linear.out_features, bias=False, device="meta")
    same.weight = nn.Parameter(linear.weight.detach().float(), requires_grad=False)
    if linear.bias is not None:
        same.bias = nn.Parameter(linear.bias.detach().float(), requires_grad=False)
    return halved(same)


def _exact_scale(weight: Tensor) -> float | None:
    """A power of two that float32 ``weight`` fits into float16 with, if there is one."""
    largest = weight.abs().amax()
    if not torch.isfinite(largest):
        return None
    _, exponent = torch.frexp(largest)
    scales = (1.0, 2.0 ** min(_TOP - int(exponent), _MOST))
    return next((scale for scale in scales if _holds(weight, scale)), None)


def _holds(weight: Tensor, scale: float) -> bool:
    scaled = (rows * scale for rows in weight.split(_ROWS))
    return all(torch.equal(rows.half().float(), rows) for rows in scaled)
