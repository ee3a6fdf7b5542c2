"""A model of the common kind, carried out in fewer operations than its own forward takes.

Beside the products, which wait for the memory, a step of few rows is some 40 small operations for
each layer, on nearly nothing: what they take is the time to begin them, and a fifth of the step.
Here oneDNN adds the residual, multiplies by the gate and applies its SiLU within the products, the
rotation of queries and keys is one, and what fills rows up is there from the beginning.
"""

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
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class Decoder:
    """Stands for the forward of a model that it can carry out (``can_decode``)."""

    def __init__(self, module: PreTrainedModel) -> None:
        """``module``: with its weights laid out; they stay its own."""
        whole: Any = module
        self._head: nn.Module = whole.lm_head
        self._embed: nn.Module = whole.model.embed_tokens
        self._rotary: nn.Module = whole.model.rotary_emb
        self._norm: nn.Module = whole.model.norm
        self._layers = [_Layer(layer) for layer in whole.model.layers]

    def __call__(self, packed: Packed) -> Tensor:
        """Logits [1, R, output entries], in the model's dtype."""
        hidden: Tensor = self._embed(packed.ids[0])
        cos, sin = (part[0].unsqueeze(1) for part in self._rotary(hidden, packed.positions))
        # Half of the turn takes the other half of a head, with its sign changed: once for all.
        sin = torch.cat([-sin[..., : sin.shape[-1] // 2], sin[..., sin.shape[-1] // 2 :]], -1)
        count = len(hidden)
        if (rows := self._layers[0].rows_for(count)) > count:
            hidden, cos, sin = (
                functional.pad(part, (0, 0) * (part.dim() - 1) + (0, rows - count))
                for part in (hidden, cos, sin)
            )
        for layer in self._layers:
            hidden = layer(hidden, packed, cos, sin)
        logits: Tensor = self._head(self._norm(hidden[packed.kept]))
        return logits.unsqueeze(0)


class _Layer:
    """One layer; M rows, of which the first N are the pass's tokens."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._index: int = attention.layer_idx
        self._size: int = attention.head_dim
        self._scaling: float = attention.scaling
        self._before, self._between = layer.input_layernorm, layer.post_attention_layernorm
        self._query, self._key, self._value = attention.q_proj, attention.k_proj, attention.v_proj
        self._out = attention.o_proj
        self._gate, self._up, self._down = mlp.gate_proj, mlp.up_proj, mlp.down_proj
        self._heads: int = attention.config.num_attention_heads

    def rows_for(self, count: int) -> int:
        """How many rows its products are best given."""
        return self._query.rows_for(count) if isinstance(self._query, PackedLinear) else count

    def __call__(self, hidden: Tensor, packed: Packed, cos: Tensor, sin: Tensor) -> Tensor:
        """[M, width] to the same; ``cos`` and ``sin``: [M, 1, size]."""
        rows, count = len(hidden), packed.ids.shape[1]
        x = self._before(hidden)
        both = torch.cat([self._query(x), self._key(x)], -1).view(rows, -1, self._size)
        both = torch.addcmul(both * cos, both.roll(self._size // 2, -1), sin)
        value = self._value(x).view(rows, -1, self._size)
        query, key = both[:, : self._heads].transpose(0, 1), both[:count, self._heads :]
        seen = attend(packed, self._index, query, key, value[:count], self._scaling)
        hidden = _plus(self._out, seen.view(rows, -1), hidden)
        x = self._between(hidden)
        return _plus(self._down, _times(self._up, x, _silu(self._gate, x)), hidden)


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
    layers: Any = module.get_submodule("model.layers")
    return all(
        _parts(layer) == _LAYER
        and _parts(layer.self_attn) == _ATTENTION
        and _parts(layer.mlp) == _MLP
        for layer in layers
    )


def _parts(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}
