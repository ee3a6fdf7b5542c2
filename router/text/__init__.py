"""Between text and tokens: tokenizer, chat template, incremental detokenisation, stop strings.

A prompt goes through ``Tokenizer``, with a chat template or raw.  An answer goes through
``AnswerText``, which turns tokens into final text, one by one, and ends at the first stop string.
"""

from router.text.answer import AnswerText, Released
from router.text.chat_template import Message
from router.text.errors import AnswerEnded, ChatTemplateError, TextError, TokenizerError
from router.text.tokenizer import Tokenizer

__all__ = [
    "AnswerEnded",
    "AnswerText",
    "ChatTemplateError",
    "Message",
    "Released",
    "TextError",
    "Tokenizer",
    "TokenizerError",
]
