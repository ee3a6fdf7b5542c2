"""How a model's weights lie in memory: as they come, packed for oneDNN, or quantised."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from services.engine.linear import PackedLinear, can_pack
from services.engine.quantized import GROUP, Quantized, QuantizedLinear, can_quantize
from services.errors import ModelUnsupported

Weights = Literal["auto", "bfloat16", "int8", "int4"]

_AT_LEAST = 1 << 16
"""Layers of fewer weights gain nothing from being packed."""


def lay_out(
    module: nn.Module,
    weights: Weights,
    dtype: torch.dtype,
    device: torch.device,
    *,
    compiles: bool = False,
) -> str:
    """Brings a loaded model's linear layers into the layout that the device reads the fastest.

    Args:
        module: the model; changed in place, one layer at a time.
        weights: int8 and int4 round the weights, and so change the model's law.
        dtype: what the model computes in.
        device: where it is.
        compiles: whether inductor will compile the model.  On the CPU it lays weights out itself,
            and takes no others.

    Returns:
        The name of what the weights are now: int8, int4, or the dtype's.

    Raises:
        ModelUnsupported: the device has no kernels for what was asked.
    """
    if weights in ("int8", "int4"):
        if device.type != "cpu":
            quantize_with_torchao(module, weights)
            return weights
        if compiles:
            raise ModelUnsupported(f"weights {weights}: on the CPU not of a compiled model")
        if not can_pack(dtype):
            raise ModelUnsupported(f"weights {weights}: this CPU has no kernels for {dtype}")
        _replace(module, lambda linear: QuantizedLinear(linear, weights), can_quantize)
        pack_linears(module)
        return weights
    if device.type == "cpu" and can_pack(dtype) and not compiles:
        pack_linears(module)
    return str(dtype).removeprefix("torch.")


def quantize_with_torchao(module: nn.Module, weights: Quantized) -> None:
    """Rounds every linear layer's weights with torchao, whose kernels run on CUDA.

    Raises:
        ModelUnsupported: torchao, or what its kernel needs, is not installed.
    """
    try:
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

        int4 = weights == "int4"
        quantize_(
            module, Int4WeightOnlyConfig(group_size=GROUP) if int4 else Int8WeightOnlyConfig()
        )
    except ImportError as error:
        raise ModelUnsupported(f"weights {weights} on CUDA take torchao: {error}") from error


def pack_linears(module: nn.Module) -> int:
    """Packs every large linear layer below ``module`` for oneDNN, and drops its weights.

    Returns:
        The number of layers packed.
    """
    return _replace(module, PackedLinear, lambda linear: linear.weight.numel() >= _AT_LEAST)


def _replace(
    module: nn.Module,
    make: Callable[[nn.Linear], nn.Module],
    suits: Callable[[nn.Linear], bool],
) -> int:
    replaced = 0
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear:
            if suits(child):
                setattr(module, name, make(child))
                replaced += 1
        else:
            replaced += _replace(child, make, suits)
    return replaced


def leave_files(module: nn.Module) -> None:
    """Copies what still lies in the mapped files: one tensor would keep a whole file resident."""
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()


def weight_bytes(module: nn.Module) -> int:
    """Memory of all weights, every copy of them counted."""
    own = sum(_stored_bytes(parameter) for parameter in module.parameters())
    laid_out = (m for m in module.modules() if isinstance(m, PackedLinear | QuantizedLinear))
    inner = {
        id(child)
        for m in module.modules()
        if isinstance(m, QuantizedLinear)
        for child in m.children()
    }
    return own + sum(m.weight_bytes for m in laid_out if id(m) not in inner)


def _stored_bytes(parameter: Tensor) -> int:
    """Of a quantised tensor what it is stored in, not the type that it stands for."""
    if not hasattr(parameter, "__tensor_flatten__"):
        return parameter.nbytes
    names, _ = parameter.__tensor_flatten__()
    return sum(getattr(parameter, name).nbytes for name in names)
