"""A model of the common kind, carried out in fewer operations than its own forward takes.

Beside the products, which wait for the memory, a step of few rows is some 40 small operations for
each layer, on nearly nothing: what they take is the time to begin them, and a fifth of the step.
Here queries, keys and values are one product, oneDNN adds the residual, multiplies by the gate and
applies its SiLU within the products, the rotation is one operation, and what fills rows up is there
from the beginning.  Where other kernels multiply, which do no such thing, gate and up are one
product, too.  Behind the last layer's attention only rows go on whose logits are wanted.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from services.engine.attention import attend
from services.engine.batch import Packed
from services.engine.linear import PackedLinear

KINDS = ("llama", "mistral", "qwen2")
"""Model types that are no more than this: others have factors that no module shows."""

_LAYER = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
_ATTENTION = {*_PROJECTIONS, "o_proj"}
_GATES = ("gate_proj", "up_proj")
_MLP = {*_GATES, "down_proj", "act_fn"}


class Decoder:
    """Stands for the forward of a model whose projections are joined (``join_projections``)."""

    def __init__(self, module: PreTrainedModel) -> None:
        """``module``: with its weights laid out; they stay its own."""
        whole: Any = module
        self._head: nn.Module = whole.lm_head
        self._embed: nn.Module = whole.model.embed_tokens
        self._rotary: nn.Module = whole.model.rotary_emb
        self._norm = _Norm(whole.model.norm)
        self._layers = [_Layer(layer) for layer in whole.model.layers]

    def __call__(self, packed: Packed) -> Tensor:
        """Logits [1, R, output entries], in the model's dtype."""
        hidden: Tensor = self._embed(packed.ids[0])
        cos, sin = (part[0].unsqueeze(1) for part in self._rotary(hidden, packed.positions))
        # Half of the turn takes the other half of a head, with its sign changed: once for all.
        sin = torch.cat([-sin[..., : sin.shape[-1] // 2], sin[..., sin.shape[-1] // 2 :]], -1)
        count = len(hidden)
        if (rows := self._rows_for(count)) > count:
            hidden, cos, sin = (
                functional.pad(part, (0, 0) * (part.dim() - 1) + (0, rows - count))
                for part in (hidden, cos, sin)
            )
        *layers, last = self._layers
        for layer in layers:
            hidden = layer(hidden, packed, cos, sin)
        wanted = len(packed.kept)
        kept = functional.pad(packed.kept, (0, self._rows_for(wanted) - wanted))
        hidden = last(hidden, packed, cos, sin, kept)[:wanted]
        logits: Tensor = self._head(self._norm(hidden))
        return logits.unsqueeze(0)

    def _rows_for(self, count: int) -> int:
        """How many rows all layers are best given: those that want more fill up themselves."""
        return min(layer.rows_for(count) for layer in self._layers)


class _Layer:
    """One layer; M rows, of which the first N are the pass's tokens."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._index: int = attention.layer_idx
        self._size: int = attention.head_dim
        self._scaling: float = attention.scaling
        self._before = _Norm(layer.input_layernorm)
        self._between = _Norm(layer.post_attention_layernorm)
        self._project = attention.qkv_proj
        self._out = attention.o_proj
        self._gated = _gated(mlp)
        self._down = mlp.down_proj
        self._heads: int = attention.config.num_attention_heads
        self._keys_end = self._heads + int(attention.config.num_key_value_heads)

    def rows_for(self, count: int) -> int:
        """How many rows its products are best given."""
        return self._project.rows_for(count) if isinstance(self._project, PackedLinear) else count

    def __call__(
        self,
        hidden: Tensor,
        packed: Packed,
        cos: Tensor,
        sin: Tensor,
        kept: Tensor | None = None,
    ) -> Tensor:
        """What it makes of the rows.

        Args:
            hidden: [M, width].
            packed: the pass.
            cos: [M, 1, size].
            sin: [M, 1, size], that of a head's first half with its sign changed.
            kept: int64 [R], the rows that are wanted; None: all.

        Returns:
            [M or R, width].
        """
        rows, count = len(hidden), packed.ids.shape[1]
        projected = self._project(self._before(hidden)).view(rows, -1, self._size)
        both, value = projected[:, : self._keys_end], projected[:count, self._keys_end :]
        both = torch.addcmul(both * cos, both.roll(self._size // 2, -1), sin)
        query, key = both[:, : self._heads].transpose(0, 1), both[:count, self._heads :]
        seen = attend(packed, self._index, query, key, value, self._scaling).reshape(rows, -1)
        if kept is not None:
            seen, hidden = seen[kept], hidden[kept]
        hidden = _plus(self._out, seen, hidden)
        return _plus(self._down, self._gated(self._between(hidden)), hidden)


class _Norm:
    """RMSNorm, as the model's own computes it (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, norm: Any) -> None:
        self._weight: Tensor = norm.weight
        self._epsilon: float = norm.variance_epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """[M, width] to the same."""
        whole = x.float()
        squares: Tensor = torch.linalg.vecdot(whole, whole)
        mean = squares.mul_(1 / x.shape[-1])
        scaled = whole * mean.add_(self._epsilon).rsqrt_().unsqueeze(-1)
        return scaled.to(x.dtype).mul_(self._weight)


def _gated(mlp: Any) -> Callable[[Tensor], Tensor]:
    """What makes of rows [M, width] what is projected down, [M, inner]."""
    if (both := getattr(mlp, "gate_up_proj", None)) is None:
        return lambda x: _times(mlp.up_proj, x, _silu(mlp.gate_proj, x))

    def of_joined(x: Tensor) -> Tensor:
        gate, up = both(x).chunk(2, -1)
        return functional.silu(gate).mul_(up)

    return of_joined


def _silu(layer: nn.Module, x: Tensor) -> Tensor:
    if isinstance(layer, PackedLinear) and layer.joins(x):
        return layer.silu(x)
    return functional.silu(layer(x))


def _times(layer: nn.Module, x: Tensor, other: Tensor) -> Tensor:
    if isinstance(layer, PackedLinear) and layer.joins(x):
        return layer.times(x, other)
    product: Tensor = layer(x)
    return product * other


def _plus(layer: nn.Module, x: Tensor, other: Tensor) -> Tensor:
    if isinstance(layer, PackedLinear) and layer.joins(x):
        return layer.plus(x, other)
    product: Tensor = layer(x)
    return product + other


def can_decode(module: PreTrainedModel) -> bool:
    """Whether a model is of the common kind: known by name, and of no other parts."""
    if module.config.model_type not in KINDS or module.config.hidden_act != "silu":
        return False
    return all(
        _parts(layer) == _LAYER
        and _parts(layer.self_attn) == _ATTENTION
        and _parts(layer.mlp) == _MLP
        and _joinable(_modules(layer.self_attn, _PROJECTIONS))
        and _joinable(_modules(layer.mlp, _GATES))
        for layer in _layers(module)
    )


def join_projections(module: PreTrainedModel, *, gates: bool) -> None:
    """Makes one linear layer of each attention's three: what only a ``Decoder`` carries out.

    Args:
        module: one that can be decoded, its weights as they came; changed in place.
        gates: whether those of gate and up are joined, too.
    """
    for layer in _layers(module):
        _join(layer.self_attn, _PROJECTIONS, "qkv_proj")
        if gates:
            _join(layer.mlp, _GATES, "gate_up_proj")


def _join(parent: Any, names: Sequence[str], name: str) -> None:
    """Puts one layer into the place of several, its outputs theirs in this order."""
    parts = _modules(parent, names)
    outputs = sum(part.out_features for part in parts)
    joined = nn.Linear(parts[0].in_features, outputs, bias=False, device="meta")
    joined.weight = _joined([part.weight for part in parts])
    if parts[0].bias is not None:
        joined.bias = _joined([part.bias for part in parts])
    for old in names:
        delattr(parent, old)
    setattr(parent, name, joined)


def _joinable(parts: list[Any]) -> bool:
    """Whether they are plain layers, and alike: quantised ones of transformers' are not."""
    return all(type(part) is nn.Linear for part in parts) and (
        len({part.bias is None for part in parts}) == 1
    )


def _joined(parts: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.cat([part.detach() for part in parts]), requires_grad=False)


def _layers(module: PreTrainedModel) -> Iterable[Any]:
    whole: Any = module
    layers: Iterable[Any] = whole.model.layers
    return layers


def _modules(parent: Any, names: Iterable[str]) -> list[Any]:
    return [getattr(parent, name) for name in names]


def _parts(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}
