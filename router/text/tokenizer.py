"""A model's tokenizer and chat template, without the model."""

import json
from collections.abc import Mapping, Sequence

import tokenizers

from router.text.chat_template import ChatTemplate, Message
from router.text.decoders import Streaming, streaming
from router.text.errors import ChatTemplateError, TokenizerError


class Tokenizer:
    """Text to token ids and back."""

    def __init__(
        self,
        tokenizer_json: bytes,
        chat_template: str | None = None,
        special_tokens: Mapping[str, str] | None = None,
    ) -> None:
        """``tokenizer_json`` is the content of a tokenizer.json.

        ``chat_template`` is a Jinja source (None or empty: the model has none), ``special_tokens``
        the strings that it refers to by name (``bos_token``, ...).

        Raises TokenizerError and ChatTemplateError.
        """
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(tokenizer_json)
        except ValueError as error:
            raise TokenizerError(f"tokenizer.json can't be read: {error}") from error
        # The file may carry the settings of its training.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        self._special_ids = {token_id for token_id, token in added.items() if token.special}
        self._size = max(self._tokenizer.get_vocab().values(), default=-1) + 1
        self._streaming = streaming(json.loads(tokenizer_json).get("decoder"))
        self._template = (
            ChatTemplate(chat_template, special_tokens or {}) if chat_template else None
        )

    @property
    def size(self) -> int:
        """Number of entries: the highest id + 1, added tokens included."""
        return self._size

    @property
    def streaming(self) -> Streaming:
        """How text can be followed token by token."""
        return self._streaming

    @property
    def has_chat_template(self) -> bool:
        """Whether ``render_chat`` can be called."""
        return self._template is not None

    def contains(self, token_id: int) -> bool:
        """Whether the id stands for a token.  Ids need not be contiguous."""
        return self._string(token_id) is not None

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids of ``text``.

        ``special`` adds what the model wants around a text, like its begin token: True for raw
        text, False for a rendered chat, whose template writes them itself.
        """
        # As a batch of one, other threads go on meanwhile: a single text would hold their lock.
        return self._tokenizer.encode_batch([text], add_special_tokens=special)[0].ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens.  Special tokens and unknown ids give none."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def token(self, token_id: int) -> str | None:
        """The vocabulary's string for an id; None where it gives no text: special or unknown."""
        return None if token_id in self._special_ids else self._string(token_id)

    def render_chat(self, messages: Sequence[Message]) -> str:
        """The prompt for a conversation.  Raises ChatTemplateError."""
        if self._template is None:
            raise ChatTemplateError("the model has no chat template: send raw text or token ids")
        return self._template.render(messages)

    def _string(self, token_id: int) -> str | None:
        return self._tokenizer.id_to_token(token_id) if 0 <= token_id < self._size else None
