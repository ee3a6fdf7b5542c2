"""Small tokenizers of every kind, for the tests of router.text."""

from collections.abc import Sequence

from tokenizers import Tokenizer as Raw
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from router.text import Tokenizer
from router.text.byte_level import BYTE_CHARACTERS

END = "<|end|>"
PIECES = ["", "▁", "▁▁", "▁a", "a", "b", "ab", "é", ",", "##", "##a", "b</w>", "あ", "�", "<unk>"]
CROSSING = [
    b" \xf0\x9f",
    b"\x98\x80",
    b"\x81\x82\xe3",
    b"\x82\xe3",
    b"b\xc3",
    b"\xa9b",
    b"\xa9\xc3",
]
"""Tokens in which characters begin or end in the middle."""
LLAMA = [
    decoders.Replace("▁", " "),
    decoders.ByteFallback(),
    decoders.Fuse(),
    decoders.Strip(" ", 1, 0),
]
GEMMA = LLAMA[:3]
CORPUS = [
    "Who is Buzz Aldrin? He walked on the Moon, the second to do so.",
    "Füße, naïve café, Ωmega ΩΩ — “quoted” … 日本語のテキスト、日本語。",
    "emoji 😀😀 😃 👩‍🚀 🇩🇪 🇩🇪; def f(x):\n    return x + 1\n\n\n",
]


def dump(raw: Raw) -> bytes:
    """The content of its tokenizer.json."""
    return raw.to_str().encode()


def byte_level(longer: Sequence[bytes] = ()) -> Tokenizer:
    """256 bytes without merges, id = byte; a special end token, id 256; then longer tokens."""
    characters = {byte: character for character, byte in BYTE_CHARACTERS.items()}
    raw = Raw(models.BPE(dict(BYTE_CHARACTERS), []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([END])
    raw.add_tokens(["".join(characters[byte] for byte in token) for token in longer])
    return Tokenizer(dump(raw))


def raw_trained() -> Raw:
    """Byte-level BPE whose merges cross characters; a begin token; added tokens of both kinds."""
    raw = Raw(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS, trainer)
    raw.add_tokens(["<tool>", "two words", "ü!"])
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    return raw


def trained() -> Tokenizer:
    """``raw_trained`` as the router sees it."""
    return Tokenizer(dump(raw_trained()))


def pieces(decoder: decoders.Decoder | list[decoders.Decoder] | None) -> Tokenizer:
    """Byte tokens <0x00> to <0xFF>, id = byte, then PIECES, then a special end token."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    vocabulary |= {piece: 256 + n for n, piece in enumerate(PIECES)}
    raw = Raw(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    if decoder is not None:
        raw.decoder = decoders.Sequence(list(decoder)) if isinstance(decoder, list) else decoder
    raw.add_special_tokens([END])
    return Tokenizer(dump(raw))


def piece(text: str) -> int:
    """Id of one of PIECES."""
    return 256 + PIECES.index(text)


def crossing(token: bytes) -> int:
    """Id of one of CROSSING."""
    return 257 + CROSSING.index(token)


SAMPLES = {
    "bytes_only": byte_level(),
    "crossing": byte_level(CROSSING),
    "trained": trained(),
    "llama": pieces(LLAMA),
    "gemma": pieces(GEMMA),
    "byte_fallback_and_metaspace": pieces([decoders.ByteFallback(), decoders.Metaspace()]),
    "metaspace": pieces(decoders.Metaspace()),
    "metaspace_first": pieces(decoders.Metaspace(prepend_scheme="first")),
    "metaspace_never": pieces(decoders.Metaspace(prepend_scheme="never")),
    "word_piece": pieces(decoders.WordPiece()),
    "bpe_with_suffix": pieces(decoders.BPEDecoder()),
    "no_decoder": pieces(None),
}
