"""How many tokens and sessions a pod's memory holds, known before the first request."""

from dataclasses import dataclass

import psutil
import torch
from transformers import PretrainedConfig

from services.engine.cache import KeyValueCache
from services.engine.pages import PAGE
from services.errors import ModelUnsupported

_SHARE_OF_FREE = {"cpu": 0.25, "cuda": 0.8}
"""The default budget.  On the CPU the other pods of the machine, and all else, need the rest."""

_MOST_SLOTS = {"cpu": 16, "cuda": 256}

_TOKENS_PER_SLOT = 2048
"""What an average session is taken to need, where the number of slots is to be chosen."""


@dataclass(frozen=True)
class CachePlan:
    """The shape of a pod's cache."""

    layers: int
    heads: int
    """Of the keys."""
    size: int
    """Of a head."""
    pages: int
    slots: int
    """Sessions at once."""
    dtype: torch.dtype
    device: torch.device

    @property
    def tokens(self) -> int:
        """Of all sessions together."""
        return self.pages * PAGE

    @property
    def bytes(self) -> int:
        """Keys and values of all layers."""
        return self.pages * page_bytes(self.layers, self.heads, self.size, self.dtype)

    def make(self) -> KeyValueCache:
        """The cache."""
        return KeyValueCache(
            self.layers, self.heads, self.size, self.pages, self.dtype, self.device
        )


def page_bytes(layers: int, heads: int, size: int, dtype: torch.dtype) -> int:
    """Keys and values of one page in all layers."""
    return 2 * PAGE * layers * heads * size * dtype.itemsize


def plan_cache(
    config: PretrainedConfig,
    dtype: torch.dtype,
    device: torch.device,
    *,
    budget: int | None = None,
    share: float | None = None,
    slots: int | None = None,
) -> CachePlan:
    """Chooses how large the cache is.

    Args:
        config: the model's.
        dtype: of keys and values.
        device: where they lie.
        budget: bytes; None: a share of what is free, and no more than the slots can fill.
        share: this one; None: the device's.
        slots: sessions at once; None: as many as the budget holds of an average length.

    Raises:
        ModelUnsupported: the budget does not hold a page.
    """
    text = config.get_text_config(decoder=True)
    layers, heads = int(text.num_hidden_layers), int(text.num_attention_heads)
    key_heads = int(getattr(text, "num_key_value_heads", None) or heads)
    size = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    each = page_bytes(layers, key_heads, size, dtype)
    context = int(text.max_position_embeddings)
    most_slots = slots or _MOST_SLOTS[device.type]
    if budget is None:
        fillable = most_slots * -(-context // PAGE) * each
        share = share or _SHARE_OF_FREE[device.type]
        budget = min(int(share * _free(device)), fillable)
    pages = budget // each
    if not pages:
        raise ModelUnsupported(
            f"a cache of {budget} bytes holds nothing: {PAGE} tokens of this model need {each}"
        )
    return CachePlan(
        layers=layers,
        heads=key_heads,
        size=size,
        pages=pages,
        slots=slots or max(1, min(pages * PAGE // min(context, _TOKENS_PER_SLOT), most_slots)),
        dtype=dtype,
        device=device,
    )


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what quantising or a pass has left
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
