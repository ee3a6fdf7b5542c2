"""The tiny pair's tokenizer: one token for each byte, and an end token."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

END = "<|end|>"
END_ID = 256
TOKENS = 257
CONTEXT = 512


def build_tokenizer() -> Tokenizer:
    """Byte-level BPE without merges: the id of a byte is its value, no text gains a token."""
    model = BPE(vocab={symbol: byte for byte, symbol in enumerate(_byte_symbols())}, merges=[])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, as transformers reads them."""
    build_tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def encode_document(document: str) -> list[int]:
    """The ids of a document, its end token last."""
    return [*document.encode(), END_ID]


def _byte_symbols() -> list[str]:
    """The printable stand-in of each byte, by GPT-2's rule, which `tokenizers` follows.

    A byte that is printable in Latin-1 stands for itself; the others take the characters from
    U+0100 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
