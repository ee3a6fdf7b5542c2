"""Linear layers with int8 or int4 weights, for the CPU.

torch's kernels for them read a quarter or half of the memory, which is what a step of few rows
waits for, but compute slowly: for more than ``FEW_ROWS`` the same quantised values, packed for
oneDNN, are faster.  Both copies stay, and are counted (``PackedLinear.weight_bytes``).

The kernels are vectorised for bfloat16 alone; given float32 they take ten times as long and more.
So a layer rounds what it takes and what it gives to bfloat16, whatever its model computes in, and
on both paths: in a float32 model how many rows share a pass then changes no more than the order of
sums.  (In a bfloat16 model the packed values are rounded once more.)
"""

from typing import Literal

import torch
from torch import Tensor, nn

from services.engine.linear import PackedLinear

Quantized = Literal["int8", "int4"]

FEW_ROWS = 4
"""Up to so many rows the quantised kernels are the faster ones: they take four in one reading of
the weights.  Measured on two cores, with native bfloat16 and with AVX2 alone."""

GROUP = 32
"""Weights of an output that share a scale and a zero, in int4."""


def can_quantize(linear: nn.Linear) -> bool:
    """Whether the kernels take a layer of this shape."""
    return linear.in_features % GROUP == 0 and linear.out_features % 16 == 0


class QuantizedLinear(nn.Module):
    """An ``nn.Linear`` whose weights were rounded to int8 or int4.  Inference only."""

    def __init__(self, linear: nn.Linear, weights: Quantized) -> None:
        """Raises ValueError for a shape that the kernels do not take (``can_quantize``)."""
        super().__init__()
        if not can_quantize(linear):
            raise ValueError(f"{linear.in_features} inputs and {linear.out_features} outputs")
        self._weights, self.out_features = weights, linear.out_features
        self._bias = None if linear.bias is None else linear.bias.detach().clone()
        quantize = _int4 if weights == "int4" else _int8
        self._few, self._scales, values = quantize(linear.weight.detach())
        many = nn.Linear(linear.in_features, linear.out_features, bias=False, device="meta")
        many.weight = nn.Parameter(values, requires_grad=False)
        self._many = PackedLinear(many)

    @property
    def weight_bytes(self) -> int:
        """Both copies, and the scales."""
        return self._few.nbytes + self._scales.nbytes + self._many.weight_bytes

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        if x.dim() == 2 and x.dtype == torch.bfloat16:
            return self._product(x)
        rows = x.reshape(-1, x.shape[-1]).bfloat16()
        return self._product(rows, x.dtype).view(*x.shape[:-1], self.out_features)

    def _product(self, rows: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        """Of bfloat16 rows [M, in]: [M, out], in ``dtype``, which the model computes in."""
        out: Tensor
        if rows.shape[0] > FEW_ROWS:
            out = self._many(rows.to(dtype)).bfloat16()
        elif self._weights == "int4":
            out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self._few, GROUP, self._scales)
        else:
            out = torch.ops.aten._weight_int8pack_mm(rows, self._few, self._scales)
        if dtype != torch.bfloat16:
            out = out.to(dtype)
        return out if self._bias is None else out.add_(self._bias)


def _int4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Packed weights, scales and zeros, and the values that they stand for.

    A value is ``(code - 8) * scale + zero``, code 0 to 15, of each group from its least to its
    largest weight.

    Args:
        weight: [out, in].
    """
    out, inputs = weight.shape
    groups = weight.float().view(out, inputs // GROUP, GROUP)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # Rounded to what the kernel reads, before the codes are chosen.
    scale = ((high - low) / 15).clamp(min=1e-8).bfloat16()
    zero = (low + 8 * scale.float()).bfloat16()
    codes = ((groups - zero.float()) / scale.float() + 8).round_().clamp_(0, 15)
    values = ((codes - 8) * scale.float() + zero.float()).view(out, inputs).to(weight.dtype)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.view(out, inputs).int(), 1)
    scales = torch.cat([scale, zero], -1).transpose(0, 1).contiguous()
    return packed, scales, values


def _int8(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, scales, and the values that they stand for: ``code * scale``, a scale an output."""
    scale = (weight.float().abs().amax(1, keepdim=True) / 127).clamp(min=1e-8).bfloat16()
    codes = (weight.float() / scale.float()).round_().clamp_(-127, 127)
    values = (codes * scale.float()).to(weight.dtype)
    return codes.to(torch.int8), scale.squeeze(1), values
