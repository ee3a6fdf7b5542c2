"""How a model's weights lie in memory: as they come, packed for a CPU's kernels, or quantised."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from services.engine.float16 import Float16Linear, copied, halved, has_kernels
from services.engine.linear import COPY_ROWS, PackedLinear, can_pack, choose_rows
from services.engine.quantized import GROUP, Quantized, QuantizedLinear, can_quantize
from services.errors import ModelUnsupported

Weights = Literal["auto", "bfloat16", "bfloat16+float16", "int8", "int4"]

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
            bfloat16+float16 keeps them twice, exactly: the passes of few rows are faster.
        dtype: what the model computes in.
        device: where it is.
        compiles: whether inductor will compile the model.  On the CPU it lays weights out itself,
            and takes no others.

    Returns:
        The name of what the weights are now: int8, int4, float16 (of a float32 model, exactly),
        bfloat16+float16, or the dtype's.

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
        quantize_linears(module, weights)
        pack_linears(module)
        return weights
    if weights == "bfloat16+float16":
        native = device.type == "cpu" and dtype == torch.bfloat16 and can_pack(dtype)
        if compiles or not (native and has_kernels()):
            raise ModelUnsupported(
                f"weights {weights}: only on a CPU that multiplies bfloat16, and not compiled"
            )
        pack_linears(module, copies=True)
        choose_rows(_packed(module), dtype, COPY_ROWS + 1)
        return weights
    in_float16 = 0
    if device.type == "cpu" and not compiles:
        if dtype == torch.float32 and has_kernels():
            in_float16 = halve_linears(module)
        if can_pack(dtype):
            pack_linears(module)
        if dtype == torch.bfloat16:
            choose_rows(_packed(module), dtype)
    return "float16" if in_float16 else str(dtype).removeprefix("torch.")


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


def quantize_linears(module: nn.Module, weights: Quantized) -> int:
    """Rounds the weights of every linear layer below ``module`` whose shape the kernels take.

    Returns:
        The number of layers rounded.
    """
    return _replace(module, lambda layer: _quantized(layer, weights))


def pack_linears(module: nn.Module, *, copies: bool = False) -> int:
    """Packs every large linear layer below ``module`` for oneDNN, and drops its weights.

    Args:
        module: changed in place.
        copies: keeps a copy in float16, too, of each layer that it holds exactly.

    Returns:
        The number of layers packed.
    """

    def packed(layer: nn.Linear) -> PackedLinear | None:
        return PackedLinear(layer, copied(layer) if copies else None) if _is_large(layer) else None

    return _replace(module, packed)


def halve_linears(module: nn.Module) -> int:
    """Keeps in float16 every large linear layer below a float32 ``module`` that it holds exactly.

    Returns:
        The number of layers kept so.
    """
    return _replace(module, lambda layer: halved(layer) if _is_large(layer) else None)


def _packed(module: nn.Module) -> list[PackedLinear]:
    return [m for m in module.modules() if isinstance(m, PackedLinear)]


def _quantized(layer: nn.Linear, weights: Quantized) -> QuantizedLinear | None:
    return QuantizedLinear(layer, weights) if can_quantize(layer) else None


def _is_large(layer: nn.Linear) -> bool:
    return layer.weight.numel() >= _AT_LEAST


def _replace(module: nn.Module, make: Callable[[nn.Linear], nn.Module | None]) -> int:
    """Puts what ``make`` gives into every linear layer's place; None: the layer stays."""
    replaced = 0
    for name, child in list(module.named_children()):
        if type(child) is not nn.Linear:
            replaced += _replace(child, make)
        elif (layer := make(child)) is not None:
            setattr(module, name, layer)
            replaced += 1
    return replaced


def leave_files(module: nn.Module) -> None:
    """Copies what still lies in the mapped files: one tensor would keep a whole file resident."""
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()


def weight_bytes(module: nn.Module) -> int:
    """Memory of all weights, every copy of them counted."""
    own = sum(_stored_bytes(parameter) for parameter in module.parameters())
    kinds = (PackedLinear, Float16Linear, QuantizedLinear)
    laid_out = (m for m in module.modules() if isinstance(m, kinds))
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
