"""Conversion of a GGUF file into a transformers folder with bfloat16 weights.

`python -m services.models.convert FILE FOLDER [--end-token TOKEN ...] [--normalizer FORM]` is a
process of its own, because it needs torch and several times the memory of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.integrations.gguf.reader import read_gguf_metadata

from services.models.errors import ConversionFailed
from services.models.specs import Normalizer
from services.models.vocabulary import vocabulary_size, without_padding


def convert(
    file: Path, folder: Path, end_tokens: Sequence[str] = (), normalizer: Normalizer | None = None
) -> None:
    """Write weights, configuration, tokenizer and chat template of a GGUF file to a new folder.

    Each weight is dequantised in float32 and then rounded to bfloat16.

    Args:
        end_tokens: the tokens that end an answer; none means the one that the file names.
        normalizer: the Unicode form of the tokenizer's input; none leaves text as it is.

    Raises:
        ConversionFailed: the tokenizer lacks an end token, or is no BPE without gaps.
    """
    tokenizer = _save_tokenizer(file, folder, normalizer)
    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, config=config, dtype=torch.bfloat16
    )
    # The weights are plain by now, but transformers takes them for quantised and would not save.
    del model.hf_quantizer
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        pad_token_id=config.pad_token_id,
        eos_token_id=_ids(tokenizer, end_tokens) or config.eos_token_id,
    )
    model.save_pretrained(folder)
    _settle(folder)


def _save_tokenizer(file: Path, folder: Path, normalizer: Normalizer | None) -> Tokenizer:
    """Save the tokenizer and the chat template, without padding entries; return it as saved."""
    # The generic class takes tokenizer.json as it is; a model's own class might alter it.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer.json"
    contents = json.loads(path.read_text(encoding="utf-8"))
    if contents["model"]["type"] != "BPE":
        raise ConversionFailed(f"the tokenizer is {contents['model']['type']}, not BPE")
    metadata, _ = read_gguf_metadata(str(file))
    contents = without_padding(contents, vocabulary_size(metadata["tokenizer.ggml.token_type"]))
    if normalizer is not None:
        contents["normalizer"] = {"type": normalizer}
    path.write_text(json.dumps(contents, ensure_ascii=False, indent=2), encoding="utf-8")
    saved = Tokenizer.from_file(str(path))
    ids = saved.get_vocab(with_added_tokens=True).values()
    if max(ids) + 1 != len(ids):
        raise ConversionFailed(f"the tokenizer has {len(ids)} tokens with ids up to {max(ids)}")
    return saved


def _ids(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[int]:
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if unknown := [token for token in tokens if token not in vocabulary]:
        raise ConversionFailed(f"the tokenizer has no token {unknown[0]!r}")
    return [vocabulary[token] for token in tokens]


def _settle(folder: Path) -> None:
    """Make all files readable to whom the folder is, and see them on the disk."""
    for path in folder.iterdir():
        # safetensors writes for the owner alone, and a service may run as another user.
        path.chmod((folder / "config.json").stat().st_mode)
        with path.open("rb") as file:
            os.fsync(file.fileno())


def main() -> None:
    """Convert as the command line says; a failure is the last line on standard error."""
    parser = argparse.ArgumentParser(description="Convert a GGUF file into a transformers folder.")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--end-token", action="append", default=[])
    parser.add_argument("--normalizer")
    arguments = parser.parse_args()
    try:
        convert(arguments.file, arguments.folder, arguments.end_token, arguments.normalizer)
    except ConversionFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
