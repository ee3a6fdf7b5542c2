"""What the engine can't do right, and therefore refuses when it starts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

from services.errors import ModelUnsupported

_COUNTING = "cascade_counting"


def check_supported(config: PretrainedConfig) -> None:
    """Refuses models other than causal language models with full attention.

    A sliding window, chunked attention or a recurrent layer forgets: rolling back a rejected block
    would leave such a layer wrong, in silence.

    Raises:
        ModelUnsupported: naming what the model has.
    """
    name = config.model_type
    if config.is_encoder_decoder:
        raise ModelUnsupported(f"model type {name}: encoder-decoder models are not supported")
    text = config.get_text_config(decoder=True)
    others = sorted(set(getattr(text, "layer_types", None) or []) - {"full_attention"})
    if others:
        raise ModelUnsupported(
            f"model type {name}: layers of type {', '.join(others)} can't be rolled back; "
            "only full_attention is supported"
        )
    window = getattr(text, "sliding_window", None)
    if window and getattr(text, "use_sliding_window", True):
        raise ModelUnsupported(
            f"model type {name}: sliding_window {window} can't be rolled back; "
            "only full attention is supported"
        )
    for field in (
        "attention_chunk_size",
        "linear_attn_config",
        "mamba_d_state",
        "ssm_cfg",
        "kv_lora_rank",
    ):
        if getattr(text, field, None):
            raise ModelUnsupported(f"model type {name}: {field} is set; only full attention works")
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    for kind in _rope_types(rope):
        if kind in ("longrope", "dynamic"):
            raise ModelUnsupported(
                f"model type {name}: rope type {kind} depends on the longest session of a pass"
            )
    if not getattr(text, "is_causal", True):
        raise ModelUnsupported(f"model type {name}: not a causal language model")
    if not getattr(text, "num_attention_heads", None):
        raise ModelUnsupported(f"model type {name}: no attention layers; only full attention works")


def _rope_types(rope: Mapping[str, Any]) -> set[str]:
    """The kinds that a config names: for all layers, or by kind of layer."""
    each = [rope, *(value for value in rope.values() if isinstance(value, Mapping))]
    return {str(one.get("rope_type") or one.get("type") or "default") for one in each}


def check_attention(module: PreTrainedModel) -> None:
    """Refuses models whose attention is not ours to compute, once in each layer.

    Of a layer the cache has the keys and values of one attention: those of a second one in it, as
    DiffLlama's, would take their place, and a layer without any would forget or not be rolled back.

    Raises:
        ModelUnsupported: it does not go through transformers' attention interface, or does so in
            some layer not once.
    """
    name = module.config.model_type
    if not module._can_set_attn_implementation():
        raise ModelUnsupported(
            f"model type {name}: its attention can't be replaced; "
            "only models on transformers' attention interface are supported"
        )
    calls = _calls(module)
    for layer in range(module.config.get_text_config(decoder=True).num_hidden_layers):
        if calls[layer] != 1:
            raise ModelUnsupported(
                f"model type {name}: layer {layer} computes attention {calls[layer]} times in a "
                "pass; only once is supported"
            )


@torch.inference_mode()
def _calls(module: PreTrainedModel) -> Counter[int]:
    """How often each layer computes attention in a pass."""
    calls: Counter[int] = Counter()

    def count(
        layer: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, None]:
        calls[layer.layer_idx] += 1
        batch, heads, tokens, _size = query.shape
        return query.new_zeros(batch, tokens, heads, value.shape[-1]), None

    AttentionInterface.register(_COUNTING, count)
    own = module.config._attn_implementation
    module.set_attn_implementation(_COUNTING)
    module(input_ids=torch.zeros(1, 1, dtype=torch.long, device=module.device), use_cache=False)
    module.set_attn_implementation(own)
    return calls
