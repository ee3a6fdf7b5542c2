"""Attention over a packed batch, as transformers' models call it (``attn_implementation``).

A model is given no cache and no mask of transformers': each layer's new keys and values are written
into ours, and each group of sessions attends to its own pages alone.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from services.engine.batch import Group, Packed
from services.engine.pages import PAGE

NAME = "cascade_packed"


class _Layer(Protocol):
    """What is known of a model's attention."""

    layer_idx: int


def packed_attention(
    module: _Layer,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Packed,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Writes a layer's new keys and values, and attends.

    Args:
        module: the layer's attention.
        query: [1, heads, N, size].
        key: [1, key heads, N, size].
        value: as key.
        attention_mask: none.
        packed: the pass.
        scaling: of the scores; None: 1 / sqrt(size).
        dropout: none.
        kwargs: what models have beside that, and full attention does not need.

    Returns:
        [1, N, heads, size], and no weights.
    """
    assert attention_mask is None, "the packed batch has masks of its own"
    assert not dropout, "inference only"
    keys, values = key[0].transpose(0, 1), value[0].transpose(0, 1)
    out = attend(packed, module.layer_idx, query[0], keys, values, scaling)
    return out.unsqueeze(0), None


def attend(
    packed: Packed, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
) -> Tensor:
    """Writes a layer's new keys and values, and attends.

    Args:
        packed: the pass, of N tokens.
        layer: which one.
        query: [heads, M, size], M at least N: what lies behind pads the pass.
        key: [N, key heads, size].
        value: as key.
        scaling: of the scores; None: 1 / sqrt(size).

    Returns:
        [M, heads, size].
    """
    keys, values = packed.cache.keys[layer], packed.cache.values[layer]
    keys.index_copy_(0, packed.written, key)
    values.index_copy_(0, packed.written, value)
    parts = [_attend(group, query, keys, values, scaling) for group in packed.groups]
    if packed.order is not None:
        parts = [torch.cat(parts)[packed.order]]
    # Zero for what pads the pass, which is in no group.
    if padding := query.shape[1] - sum(part.shape[0] for part in parts):
        parts.append(query.new_zeros(padding, query.shape[0], value.shape[-1]))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend(
    group: Group, query: Tensor, keys: Tensor, values: Tensor, scaling: float | None
) -> Tensor:
    """Attention of one group: [S * n, heads, size].

    Heads that share a key head become queries of it: no key is copied for another head.
    """
    s, heads, size, key_heads = group.sessions, len(query), query.shape[-1], keys.shape[1]
    q = query[:, group.rows]
    if s > 1:
        q = q.view(key_heads, heads // key_heads, s, -1, size).permute(2, 0, 1, 3, 4)
    q = q.reshape(s, key_heads, -1, size)
    mask = group.mask
    if mask is not None:
        mask = mask.repeat(1, 1, heads // key_heads, 1)
    out = functional.scaled_dot_product_attention(
        q, _read(group, keys), _read(group, values), attn_mask=mask, scale=scaling
    )
    # Not all kernels give their heads in a row.
    if mask is None:  # of one token
        return out.reshape(s, heads, out.shape[-1])
    return out.reshape(s, heads, -1, out.shape[-1]).transpose(1, 2).flatten(0, 1)


def _read(group: Group, layer: Tensor) -> Tensor:
    """The group's keys or values of a layer: [S, key heads, T, size]."""
    if group.pages is not None:
        pages = layer.view(-1, PAGE * layer.shape[1] * layer.shape[2])
        layer = pages.index_select(0, group.pages).view(-1, *layer.shape[1:])
    if group.sessions == 1:
        _, heads, size = layer.shape
        start, length = group.span.start, group.span.stop - group.span.start
        # One view, where a slice, its transposition and one dimension more are three.
        shape, strides = (1, heads, length, size), (0, size, heads * size, 1)
        return layer.as_strided(shape, strides, start * heads * size)
    return layer.view(group.sessions, -1, *layer.shape[1:]).transpose(1, 2)


# Its shapes differ from pass to pass: of a compiled model what lies between is compiled.
AttentionInterface.register(NAME, torch.compiler.disable(packed_attention))
