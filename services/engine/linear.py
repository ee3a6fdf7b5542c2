"""Weights packed for oneDNN, for the CPU.

torch's own product of a few rows with a large matrix is slow on the CPU: it leaves the weights as
they lie.  oneDNN, in a layout of its own, takes a block of six tokens for little more than one.
"""

import torch
from torch import Tensor, nn

_ROWS_HINT = 8
"""The number of rows that the layout is chosen for: a block."""


class PackedLinear(nn.Module):
    """An ``nn.Linear`` whose weights lie as oneDNN wants them.  Inference only."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach().contiguous(), _ROWS_HINT
        )
        self._bias = None if linear.bias is None else linear.bias.detach().clone()
        self.weight_bytes = linear.weight.nbytes
        """Memory of the packed weights: what they took before."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._packed, self._bias, "none", [], ""
        )
        return out


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this CPU packs weights of ``dtype``."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
