"""What a model says of itself: its names, fingerprints, vocabulary and limits."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from services.engine.fingerprint import tokenizer_fingerprint
from services.engine.memory import CachePlan
from services.engine.weights import weight_bytes
from services.errors import ModelUnsupported


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself."""

    name: str
    """Name of its folder, with the one above."""
    weights_fingerprint: str
    tokenizer_fingerprint: str
    tokenizer_json: bytes
    chat_template: str
    """Empty where there is none."""
    special_tokens: dict[str, str]
    """By the names that chat templates use: bos_token, eos_token, ..."""
    vocabulary_size: int
    """Entries of the tokenizer; output entries beyond it are masked."""
    context_length: int
    """Tokens of a session: what the model takes, or the whole cache where that is less."""
    end_token_ids: tuple[int, ...]
    dtype: str
    device: str
    weights: str
    """What they are kept in: the dtype, float16 (of a float32 model, exactly), int8 or int4."""
    weight_bytes: int
    """Every copy of them that is kept."""
    slots: int
    """Sessions at once."""
    cache_tokens: int
    """Tokens of all sessions together."""
    cache_bytes: int
    draft_vocabulary: int = 0
    """Tokens that a drafter was asked to keep to; 0: it says all."""


def facts_of(
    folder: Path,
    module: PreTrainedModel,
    plan: CachePlan,
    weights: str,
    fingerprint: str,
) -> ModelFacts:
    """What a loaded model says of itself.

    Args:
        folder: where it came from.
        module: its weights laid out.
        plan: of its cache.
        weights: what they are kept in.
        fingerprint: of the weights.

    Raises:
        ModelUnsupported: the tokenizer has more entries than the model.
    """
    text = module.config.get_text_config(decoder=True)
    tokenizer_json = (folder / "tokenizer.json").read_bytes()
    size = _vocabulary_size(json.loads(tokenizer_json))
    if size > text.vocab_size:
        raise ModelUnsupported(
            f"{folder}: the tokenizer has {size} entries, the model only {text.vocab_size}"
        )
    template, special = _chat(folder)
    return ModelFacts(
        name="/".join(folder.resolve().parts[-2:]),
        weights_fingerprint=fingerprint,
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer_json),
        tokenizer_json=tokenizer_json,
        chat_template=template,
        special_tokens=special,
        vocabulary_size=size,
        context_length=min(int(text.max_position_embeddings), plan.tokens),
        end_token_ids=end_token_ids(module),
        dtype=str(plan.dtype).removeprefix("torch."),
        device=plan.device.type,
        weights=weights,
        weight_bytes=weight_bytes(module),
        slots=plan.slots,
        cache_tokens=plan.tokens,
        cache_bytes=plan.bytes,
    )


def end_token_ids(module: PreTrainedModel) -> tuple[int, ...]:
    """The tokens that end an answer."""
    ends = module.generation_config.eos_token_id
    if ends is None:
        ends = module.config.get_text_config(decoder=True).eos_token_id
    return tuple(sorted([ends] if isinstance(ends, int) else ends or []))


def _vocabulary_size(tokenizer: dict[str, Any]) -> int:
    vocab = tokenizer["model"]["vocab"]
    ids = list(vocab.values()) if isinstance(vocab, dict) else list(range(len(vocab)))
    return 1 + max(ids + [added["id"] for added in tokenizer.get("added_tokens", [])])


def _chat(folder: Path) -> tuple[str, dict[str, str]]:
    """The chat template's source and the special tokens that it may name."""
    path = folder / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    jinja = folder / "chat_template.jinja"
    template = jinja.read_text() if jinja.is_file() else config.get("chat_template") or ""
    if not isinstance(template, str):  # several named ones: the default serves
        template = next((t["template"] for t in template if t["name"] == "default"), "")
    special = {
        key: value if isinstance(value, str) else value["content"]
        for key in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token")
        if (value := config.get(key))
    }
    return template, special
