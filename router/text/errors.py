"""What can go wrong between text and tokens.

TextError
├── TokenizerError      a tokenizer.json that can't be read, or whose decoder can't be streamed
├── ChatTemplateError   no chat template, one that is broken, or one that refuses the messages
└── AnswerEnded         a token after the end of an answer
"""


class TextError(Exception):
    """Base of all.  Its text is one line, fit for a user."""


class TokenizerError(TextError):
    """A tokenizer.json that can't be read, or whose decoder can't be streamed."""


class ChatTemplateError(TextError):
    """No chat template, one that is broken, or one that refuses the messages."""


class AnswerEnded(TextError):
    """A token was pushed after a stop string or after ``finish``."""
