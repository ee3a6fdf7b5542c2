"""Loads a causal language model and runs it for one session at a time."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from services.engine.cache import Slot
from services.engine.fingerprint import tokenizer_fingerprint, weights_fingerprint
from services.engine.linear import can_pack, pack
from services.engine.support import check_supported
from services.errors import ModelUnsupported

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
    end_token_ids: tuple[int, ...]
    dtype: str
    device: str


class Model:
    """A model's weights on a device."""

    def __init__(self, module: PreTrainedModel, facts: ModelFacts, device: torch.device) -> None:
        self.facts = facts
        self.device = device
        self._module = module
        self._layers = int(module.config.get_text_config(decoder=True).num_hidden_layers)

    def new_slot(self) -> Slot:
        """An empty cache for one session."""
        return Slot(self._layers)

    @torch.inference_mode()
    def forward(self, slot: Slot, tokens: Sequence[int], rows: int) -> Tensor:
        """Feeds ``tokens`` after what the slot holds.

        Args:
            slot: the session's cache; holds the tokens afterwards.
            tokens: at least one.
            rows: 1 to ``len(tokens)``: how many of the last positions' logits to compute.

        Returns:
            [rows, V], V the tokenizer's entries; on the model's device.
        """
        past = slot.length
        ids = torch.tensor([tokens], device=self.device)
        positions = torch.arange(past, past + len(tokens), device=self.device).unsqueeze(0)
        output = self._module(
            input_ids=ids,
            position_ids=positions,
            past_key_values=slot.cache,
            use_cache=True,
            logits_to_keep=rows,
        )
        logits: Tensor = output.logits
        return logits[0, :, : self.facts.vocabulary_size].float()


def choose_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        ModelUnsupported: CUDA was asked for and there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelUnsupported("device cuda: this machine has no usable CUDA device")
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 on CUDA and on CPUs that multiply it natively, else float32."""
    if dtype != "auto":
        return DTYPES[dtype]
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if can_pack(torch.bfloat16) else torch.float32


def load(folder: Path, *, device: str = "auto", dtype: str = "auto") -> Model:
    """Loads a transformers folder (config, safetensors, tokenizer.json).

    Args:
        folder: where it lies.
        device: auto, cpu or cuda.
        dtype: auto, float32 or bfloat16.

    Raises:
        ModelUnsupported: the folder is incomplete, or the engine can't run the model right.
    """
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelUnsupported(f"{folder}: no {name} there")
    if not any(folder.glob("*.safetensors")):
        raise ModelUnsupported(f"{folder}: no *.safetensors there")
    config = AutoConfig.from_pretrained(folder)
    check_supported(config)
    where, precision = choose_device(device), choose_dtype(dtype, choose_device(device))
    with ThreadPoolExecutor(1) as pool:
        weights = pool.submit(weights_fingerprint, folder)
        module = AutoModelForCausalLM.from_pretrained(folder, dtype=precision).eval().to(where)
        facts = _facts(folder, module, where, precision, weights.result())
    if where.type == "cpu" and can_pack(precision):
        pack(module)
    return Model(module, facts, where)


def _facts(
    folder: Path,
    module: PreTrainedModel,
    device: torch.device,
    dtype: torch.dtype,
    weights: str,
) -> ModelFacts:
    text = module.config.get_text_config(decoder=True)
    tokenizer_json = (folder / "tokenizer.json").read_bytes()
    size = _vocabulary_size(json.loads(tokenizer_json))
    if size > text.vocab_size:
        raise ModelUnsupported(
            f"{folder}: the tokenizer has {size} entries, the model only {text.vocab_size}"
        )
    ends = module.generation_config.eos_token_id
    if ends is None:
        ends = text.eos_token_id
    template, special = _chat(folder)
    return ModelFacts(
        name="/".join(folder.resolve().parts[-2:]),
        weights_fingerprint=weights,
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer_json),
        tokenizer_json=tokenizer_json,
        chat_template=template,
        special_tokens=special,
        vocabulary_size=size,
        context_length=int(text.max_position_embeddings),
        end_token_ids=tuple(sorted([ends] if isinstance(ends, int) else ends or [])),
        dtype=str(dtype).removeprefix("torch."),
        device=device.type,
    )


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
