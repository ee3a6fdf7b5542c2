"""Incremental detokenisation where tokens are bytes of UTF-8 (byte-level BPE)."""

import codecs

from router.text.tokenizer import Tokenizer


def _byte_characters() -> dict[str, int]:
    """The characters by which byte-level BPE writes the 256 bytes.

    Printable characters of Latin-1 stand for themselves; the others follow from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + n): byte for n, byte in enumerate(others)}


BYTE_CHARACTERS = _byte_characters()
"""The byte that a character of a vocabulary entry stands for."""


def token_bytes(token: str) -> bytes:
    """The bytes of a vocabulary entry.  Added tokens may be plain text."""
    try:
        return bytes([BYTE_CHARACTERS[character] for character in token])
    except KeyError:
        return token.encode()


class ByteLevelDetokenizer:
    """A ``Detokenizer`` for byte-level tokenizers.

    A character, or the U+FFFD for bytes that are none, is the text of the token with its last byte.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: list[str] = []
        """Texts of the tokens from the one on in which the incomplete character begins, or that
        complete one together with it."""
        self._textless = 0
        """How many of the last of them have no bytes at all."""

    def push(self, token_id: int) -> list[str]:
        token = self._tokenizer.token(token_id)
        data = b"" if token is None else token_bytes(token)
        if not self._waiting and data.isascii():  # nothing is incomplete, nor will be
            return [data.decode()]
        final = self.finish() if self._ends_incomplete_character(data) else []
        text = self._utf8.decode(data)
        self._waiting.append(text)
        self._textless = 0 if data else self._textless + 1
        settled = self._settled(text)
        final += self._waiting[:settled]
        del self._waiting[:settled]
        return final

    def finish(self) -> list[str]:
        final, self._waiting = self._waiting, []
        if final:
            final[-1 - self._textless] += self._utf8.decode(b"", final=True)
        return final

    def _incomplete(self) -> bytes:
        return self._utf8.getstate()[0]

    def _ends_incomplete_character(self, data: bytes) -> bool:
        """Whether bytes wait that ``data`` can't continue."""
        incomplete = self._incomplete()
        if not incomplete or not data:
            return False
        try:
            codecs.utf_8_decode(incomplete + data[:1], "strict", False)
        except UnicodeDecodeError:
            return True
        return False

    def _settled(self, text: str) -> int:
        """How many waiting tokens are final, ``text`` being that of the last."""
        if not self._incomplete():
            return len(self._waiting)
        if not text:
            return 0
        # The last token completed a character and began another: it waits, and with it those whose
        # bytes went into the character that it completed.
        earlier = range(len(self._waiting) - 1, 0, -1)
        return next((count for count in earlier if self._waiting[count - 1]), 0)
