"""Loads a causal language model and runs passes of it."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from services.engine import attention
from services.engine.batch import Packed, Part, pack
from services.engine.cache import KeyValueCache, Slot
from services.engine.compiling import compiled
from services.engine.decoder import Decoder, can_decode, join_projections
from services.engine.facts import ModelFacts, end_token_ids, facts_of
from services.engine.fingerprint import weights_fingerprint
from services.engine.linear import can_pack
from services.engine.memory import plan_cache
from services.engine.short_head import shorten_head
from services.engine.support import check_attention, check_supported
from services.engine.weights import Weights, lay_out, leave_files
from services.errors import EngineFailed, ModelUnsupported

INDUCTOR = "inductor"
"""torch.compile's own backend."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Model:
    """A model's weights on a device, and the cache of its sessions."""

    def __init__(
        self,
        module: PreTrainedModel,
        facts: ModelFacts,
        cache: KeyValueCache,
        device: torch.device,
        *,
        backend: str | None = None,
        decodes: bool = False,
    ) -> None:
        """``module``: with its projections joined where it ``decodes``, which excludes ``backend``.

        ``backend`` is that of torch.compile; None: the model is not compiled.
        """
        self.facts = facts
        self.cache = cache
        self.device = device
        self._dtype = module.dtype
        self.together = device.type != "cpu"
        """Whether sessions share calls of the attention."""
        self._pads = backend is not None
        self._decoder = Decoder(module) if decodes else None
        self._forward: Callable[..., Any] = module
        if backend is not None:
            self._forward = compiled(module, backend)

    def new_slot(self) -> Slot:
        """An empty part of the cache, for one session."""
        return Slot(self.cache)

    @torch.inference_mode()
    def run(self, parts: Sequence[Part]) -> Tensor:
        """One pass: feeds each part after what its slot holds, which holds it afterwards.

        Args:
            parts: at least one, each of another slot, with room for it.

        Returns:
            float32 [R, V], the rows of all parts in their order, V the tokenizer's entries; on the
            model's device.
        """
        logits = self.compute(self.packed(parts))
        rows = sum(part.rows for part in parts)
        wanted = logits[0, :rows, : self.facts.vocabulary_size].float()
        for part in parts:  # last: what fails before is tried again, from what the slots hold
            part.slot.extend(part.tokens)
        return wanted

    def begin_turn(self) -> None:
        """The worker has something to do, and is about to choose what is run."""

    def to_host(self, values: Tensor) -> list[float]:
        """Waits until the device has worked them out: [N]."""
        host: list[float] = values.tolist()
        return host

    def packed(self, parts: Sequence[Part]) -> Packed:
        """The batch of a pass."""
        return pack(
            self.cache, parts, self._dtype, self.device, pad=self._pads, together=self.together
        )

    @torch.inference_mode()
    def compute(self, packed: Packed) -> Tensor:
        """The model alone: logits [1, R, output entries], in its dtype."""
        if self._decoder is not None:
            return self._decoder(packed)
        output = self._forward(
            input_ids=packed.ids,
            position_ids=packed.positions,
            use_cache=False,
            logits_to_keep=packed.kept,
            packed=packed,
        )
        logits: Tensor = output.logits
        return logits

    def forward(self, slot: Slot, tokens: Sequence[int], rows: int) -> Tensor:
        """A pass for one session, for which there has to be room: float32 [rows, V]."""
        if not slot.reserve(len(tokens)):
            raise EngineFailed(f"the cache has no room for {len(tokens)} tokens more")
        return self.run([Part(slot, tokens, rows)])

    def logits(self, tokens: Sequence[int], rows: int) -> Tensor:
        """A pass over ``tokens`` that leaves nothing in the cache: float32 [rows, V]."""
        slot = self.new_slot()
        try:
            return self.forward(slot, tokens, rows)
        finally:
            slot.truncate(0)


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


def load(
    folder: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    weights: Weights = "auto",
    cache_bytes: int | None = None,
    cache_share: float | None = None,
    slots: int | None = None,
    backend: str | None = None,
    draft_vocabulary: int | None = None,
) -> Model:
    """Loads a transformers folder (config, safetensors, tokenizer.json).

    Args:
        folder: where it lies.
        device: auto, cpu or cuda.
        dtype: what it computes in: auto, float32 or bfloat16.
        weights: what its weights are kept in: auto loses nothing, bfloat16 names the dtype,
            bfloat16+float16 keeps them twice, int8 and int4 round them.
        cache_bytes: budget of the cache; None: a share of the free memory.
        cache_share: this share; None: a quarter on the CPU, four fifths on a device.
        slots: sessions at once; None: what the cache has room for.
        backend: of torch.compile, such as inductor; None: the model is not compiled.
        draft_vocabulary: how many of the first tokens a drafter may say, beside the tokenizer's
            own; None: all.

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
    in_bfloat16 = weights in ("bfloat16", "bfloat16+float16")
    if in_bfloat16 and dtype == "float32":
        raise ModelUnsupported(f"weights {weights} and dtype float32 exclude each other")
    where = choose_device(device)
    precision = choose_dtype("bfloat16" if in_bfloat16 else dtype, where)
    with ThreadPoolExecutor(1) as pool:
        fingerprint = pool.submit(weights_fingerprint, folder)
        module = AutoModelForCausalLM.from_pretrained(
            folder, dtype=precision, attn_implementation=attention.NAME
        )
        module.eval().to(where)
        check_attention(module)
        if draft_vocabulary is not None:
            tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
            shorten_head(module, tokenizer, draft_vocabulary, end_token_ids(module))
        on_cpu = where.type == "cpu"
        if decodes := backend is None and can_decode(module):
            # Where the products of a CPU apply the gate, it stays its own.
            join_projections(module, gates=not on_cpu or weights in ("int8", "int4"))
        kept_in = lay_out(module, weights, precision, where, compiles=backend == INDUCTOR)
        if on_cpu:
            leave_files(module)
        else:
            # cuDNN plans each shape anew, for up to half a second, and here each pass has another.
            torch.backends.cuda.enable_cudnn_sdp(False)
        plan = plan_cache(
            config, precision, where, budget=cache_bytes, share=cache_share, slots=slots
        )
        facts = facts_of(folder, module, plan, kept_in, fingerprint.result())
        facts = replace(facts, draft_vocabulary=draft_vocabulary or 0)
    model = Model(module, facts, plan.make(), where, backend=backend, decodes=decodes)
    _try(model)
    return model


def _try(model: Model) -> None:
    """A pass, which shows what is missing before anybody waits for an answer.

    Raises:
        ModelUnsupported: it fails.
    """
    try:
        model.to_host(model.logits([0], rows=1)[0, :1])
    except Exception as error:
        what = str(error).partition("\n")[0]
        raise ModelUnsupported(
            f"{model.facts.name} in {model.facts.weights} on {model.facts.device}: a pass fails: "
            f"{type(error).__name__}: {what}"
        ) from error
