"""Incremental detokenisation: tokens to text, one by one, never splitting a character.

``tokenizers.decoders.DecodeStream`` is not used: at invalid UTF-8 it withholds text for ever, at a
cost that grows with every token, and it has no end of the answer.
"""

from collections.abc import Sequence
from typing import Protocol

from router.text.byte_level import ByteLevelDetokenizer
from router.text.decoders import Streaming
from router.text.tokenizer import Tokenizer
from router.text.tokenwise import TokenwiseDetokenizer


class Detokenizer(Protocol):
    """The text of an answer's tokens, each as soon as it can't change any more.

    The concatenation of all texts is ``Tokenizer.decode`` of all tokens, or, behind others, what
    they add to its text.  The cost of a token does not grow with the length of the answer.
    """

    def push(self, token_id: int) -> list[str]:
        """The next token of the answer.

        Returns the texts of the tokens that have become final by it, in the order of the tokens
        and from the first on that was not final: none while a character is incomplete, several
        when one is completed.  A token that only has bytes of a character has the text "", and
        becomes final together with the token that completes the character.
        """

    def finish(self) -> list[str]:
        """The texts of the tokens that are not final at the end of the answer."""


def detokenizer(tokenizer: Tokenizer, before: Sequence[int] = ()) -> Detokenizer:
    """A detokenizer for one answer; ``before``: tokens that it continues."""
    if tokenizer.streaming is Streaming.BYTE_LEVEL:
        return ByteLevelDetokenizer(tokenizer)
    return TokenwiseDetokenizer(tokenizer, before)
