"""Incremental detokenisation where tokens are text (SentencePiece, WordPiece and the like)."""

import re
from collections.abc import Sequence

from router.text.decoders import Streaming
from router.text.tokenizer import Tokenizer

_CONTEXT = 16
"""Of the tokens before an answer: enough for one that has a text."""
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenwiseDetokenizer:
    """A ``Detokenizer`` for tokenizers whose tokens are text, with or without byte fallback.

    The text of a token (whether a space leads it, say) depends on the tokens before it.  So it is
    decoded behind the last of them, and what those few give by themselves is cut off.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        """``before``: tokens that the answer continues."""
        self._tokenizer = tokenizer
        self._byte_fallback = tokenizer.streaming is Streaming.BYTE_FALLBACK
        self._context: list[int] = []
        self._context_text = ""
        self._separator: list[int] = []
        """The last token, if it has no text and follows some that have: it still ends a run."""
        self._run: list[int] = []
        """Tokens of an unfinished run of byte tokens, among them perhaps some without text."""
        self._run_bytes: list[bytes] = []
        """Their bytes."""
        if before and not self._byte(tokenizer.token(before[-1])):
            self._shorten_context(list(before[-_CONTEXT:]))

    def push(self, token_id: int) -> list[str]:
        token = self._tokenizer.token(token_id)
        byte = self._byte(token)
        if byte or (token is None and self._run):
            self._run.append(token_id)
            self._run_bytes.append(byte)
            return []
        if token is None:
            return [""]
        return [*self.finish(), self._decode([token_id])]

    def finish(self) -> list[str]:
        if not self._run:
            return []
        texts = _spread(self._decode(self._run), self._run_bytes)
        self._run, self._run_bytes = [], []
        return texts

    def _byte(self, token: str | None) -> bytes:
        if token is None or not self._byte_fallback:
            return b""
        match = _BYTE_TOKEN.fullmatch(token)
        return bytes.fromhex(match[1]) if match else b""

    def _decode(self, token_ids: list[int]) -> str:
        """Text of the next tokens."""
        tokens = self._context + self._separator + token_ids
        text = self._tokenizer.decode(tokens)[len(self._context_text) :]
        if text or not self._context_text:
            self._shorten_context(tokens)
            self._separator = []
        else:
            self._separator = token_ids[-1:]
        return text

    def _shorten_context(self, tokens: list[int]) -> None:
        """Keeps as many of the last tokens as have any text: mostly one.

        One without would not do: decoders that change the beginning of a text would go on to the
        next token.
        """
        for start in reversed(range(len(tokens))):
            self._context = tokens[start:]
            self._context_text = self._tokenizer.decode(self._context)
            if self._context_text:
                break


def _spread(text: str, run: list[bytes]) -> list[str]:
    """The text of a run of byte tokens (b"": a token without text), token by token.

    A character belongs to the token with its last byte; where the run is not UTF-8, each byte is a
    U+FFFD.  The decoder may have stripped a first space.
    """
    data = b"".join(run)
    ends = [True] * len(data)
    if _is_utf8(data):
        ends = [
            index + 1 == len(data) or data[index + 1] & 0xC0 != 0x80 for index in range(len(data))
        ]
    characters = list(text)
    texts = []
    for byte in reversed(run):
        ends_character = bool(byte) and ends.pop()
        texts.append(characters.pop() if ends_character and characters else "")
    texts.reverse()
    return texts


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
