"""Padding entries of a vocabulary, which a tokenizer must not know.

A GGUF file names one token for each row of the output layer. Rows beyond the real vocabulary have
made-up names such as `[PAD151665]`. Without them, "beyond the tokenizer" means "padding" again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNUSED = 5
"""The token type by which GGUF marks an entry as unused."""


def vocabulary_size(token_types: Sequence[int]) -> int:
    """The number of ids up to the last one in use; unused ids between others keep their place."""
    size = len(token_types)
    while size and token_types[size - 1] == UNUSED:
        size -= 1
    return size


def without_padding(tokenizer: dict[str, Any], size: int) -> dict[str, Any]:
    """The contents of a tokenizer.json with a BPE model, less all tokens of id `size` and above."""
    model = tokenizer["model"]
    vocabulary = {token: index for token, index in model["vocab"].items() if index < size}
    added = [token for token in tokenizer["added_tokens"] if token["id"] < size]
    return tokenizer | {"added_tokens": added, "model": model | {"vocab": vocabulary}}
