"""The two models that are measured, and their precision."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from safetensors import safe_open
from transformers import AutoConfig, GenerationConfig

from bench.errors import BadOption
from services.engine.model import DTYPES, choose_dtype
from services.engine.weights import Weights
from services.models.catalog import default_models_dir, resolve

WEIGHTS: tuple[str, ...] = get_args(Weights)


@dataclass(frozen=True)
class Pair:
    """A drafter and an expert as transformers folders, run in one precision on the CPU."""

    drafter: Path
    expert: Path
    dtype: str
    """float32 or bfloat16."""
    drafter_weights: str = "auto"
    """What our drafter's are kept in: auto, the dtype; or as a pod's ``--weights``."""
    expert_weights: str = "auto"
    draft_vocabulary: int = 0
    """Tokens that our drafter may say; 0: all."""

    @property
    def folders(self) -> tuple[Path, Path]:
        """Drafter, expert."""
        return self.drafter, self.expert

    @property
    def names(self) -> tuple[str, str]:
        """Names of drafter and expert: of their folders, with the one above."""
        drafter, expert = ("/".join(folder.resolve().parts[-2:]) for folder in self.folders)
        return drafter, expert

    @property
    def end_token_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: the union of both models', as the router has it."""
        return tuple(sorted(set().union(*(_end_token_ids(folder) for folder in self.folders))))

    @property
    def context_length(self) -> int:
        """The most tokens, prompt and answer together, that both models can hold."""
        return min(
            int(AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings)
            for folder in self.folders
        )

    @property
    def output_sizes(self) -> tuple[int, int]:
        """Entries of the output layers of drafter and expert, padding included."""
        drafter, expert = (
            int(AutoConfig.from_pretrained(folder).get_text_config().vocab_size)
            for folder in self.folders
        )
        return drafter, expert

    @property
    def weights_bytes(self) -> int:
        """Memory of both models' weights in this precision."""
        return sum(map(_weights, self.folders)) * DTYPES[self.dtype].itemsize


def choose_pair(
    pair: str | None,
    drafter: Path | None,
    expert: Path | None,
    dtype: str,
    drafter_weights: str = "auto",
    expert_weights: str = "auto",
    draft_vocabulary: int = 0,
) -> Pair:
    """The pair that the options name.

    Raises:
        BadOption: options that do not go together, or an unknown dtype.
        ModelsError: the catalogue does not know the pair, or a folder is not there.
    """
    if dtype not in ("auto", *DTYPES):
        raise BadOption(f"--dtype must be auto, {' or '.join(DTYPES)}, got {dtype!r}")
    for flag, weights in (("drafter", drafter_weights), ("expert", expert_weights)):
        if weights not in WEIGHTS:
            raise BadOption(
                f"--{flag}-weights must be {', '.join(WEIGHTS[:-1])} or {WEIGHTS[-1]}, "
                f"got {weights!r}"
            )
    precision = str(choose_dtype(dtype, torch.device("cpu"))).removeprefix("torch.")
    if drafter is None and expert is None:
        folders = resolve(pair, default_models_dir())
        return Pair(*folders, precision, drafter_weights, expert_weights, draft_vocabulary)
    if drafter is None or expert is None or pair is not None:
        raise BadOption("give either --pair, or both --drafter and --expert")
    for folder in (drafter, expert):
        if not (folder / "config.json").is_file():
            raise BadOption(f"{folder}: no config.json there")
    return Pair(drafter, expert, precision, drafter_weights, expert_weights, draft_vocabulary)


def _end_token_ids(folder: Path) -> set[int]:
    if (folder / "generation_config.json").is_file():
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
    else:
        ends = AutoConfig.from_pretrained(folder).eos_token_id
    return {ends} if isinstance(ends, int) else set(ends or ())


def _weights(folder: Path) -> int:
    """Number of weights in a folder's files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return total
