"""How a tokenizer's decoder can be followed token by token.

A ``tokenizer.json`` names a decoder: a chain of steps from token strings to text.  A stream needs
to know when the text of a token can't change any more, and that depends on the chain.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from router.text.errors import TokenizerError

_TOKENWISE = {"BPEDecoder", "ByteFallback", "Metaspace", "Replace", "Strip", "WordPiece"}
"""Steps whose output for a token depends on the tokens before it at most; ByteFallback: on the run
of byte tokens that it stands in."""


class Streaming(Enum):
    """When the text of a token is final."""

    BYTE_LEVEL = auto()
    """Tokens are bytes of UTF-8: when the character is complete."""
    BYTE_FALLBACK = auto()
    """Tokens are text, and bytes ``<0xNN>`` for what the vocabulary lacks: at once, and at the end
    of a run of bytes, since one invalid byte turns all characters of its run into U+FFFD."""
    TOKENWISE = auto()
    """Tokens are text: at once."""


def streaming(decoder: Mapping[str, Any] | None) -> Streaming:
    """How to follow ``decoder``, an entry of tokenizer.json.

    Raises TokenizerError for a decoder in which later tokens change earlier text.
    """
    steps = _steps(decoder)
    names = [step["type"] for step in steps]
    if [name for name in names if name != "Fuse"] == ["ByteLevel"]:
        return Streaming.BYTE_LEVEL
    fuse = names.index("Fuse") if "Fuse" in names else len(names)
    if not (_TOKENWISE.issuperset(names[:fuse]) and all(map(_strips_start, steps[fuse:]))):
        raise TokenizerError(f"tokenizer.json: can't stream text through {' + '.join(names)}")
    return Streaming.BYTE_FALLBACK if "ByteFallback" in names else Streaming.TOKENWISE


def _steps(decoder: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [step for part in decoder["decoders"] for step in _steps(part)]
    return [decoder]


def _strips_start(step: Mapping[str, Any]) -> bool:
    """Whether a step on the whole text changes at most its first character."""
    match step:
        case {"type": "Fuse"}:
            return True
        case {"type": "Strip", "start": 0 | 1, "stop": 0}:
            return True
    return False
