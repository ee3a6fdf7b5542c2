"""Fingerprints of a model folder: of its weights, and of the whole of its tokenizer."""

import hashlib
import json
from pathlib import Path
from typing import Any

# Set by whoever calls the tokenizer, and no part of what its entries mean.
_NOT_IDENTITY = ("padding", "truncation", "version")


def tokenizer_fingerprint(tokenizer_json: bytes) -> str:
    """sha256 of a tokenizer.json in canonical form: entries, merges, normalisation, all of it."""
    content: dict[str, Any] = json.loads(tokenizer_json)
    for key in _NOT_IDENTITY:
        content.pop(key, None)
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def weights_fingerprint(folder: Path) -> str:
    """sha256 over the configuration and every safetensors file of a folder, in order of names."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
