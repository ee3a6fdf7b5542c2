"""The prompt of a request: checked, rendered, tokenised."""

from cascade.v1 import router_pb2

from router.text import ChatTemplateError, Message, Tokenizer
from services.errors import InvalidField

MAX_MESSAGES = 4096
"""Of a chat: rendering takes time and memory by their number."""
_PIECE = 1 << 16
"""Characters that are tokenised at once, whatever the context."""


def outside(field: str, ids: list[int], tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """The first id outside the vocabulary, as a violation."""
    for i, token in enumerate(ids):
        if not tokenizer.contains(token):
            return [
                (
                    f"{field}[{i}]",
                    f"must be an entry of the tokenizer's {tokenizer.size}, got {token}",
                )
            ]
    return []


def prompt_violations(
    request: router_pb2.GenerateRequest, tokenizer: Tokenizer, context_length: int
) -> list[tuple[str, str]]:
    """What is wrong with the prompt, before anything is made of it."""
    kind = request.WhichOneof("prompt")
    if kind is None:
        return [("prompt", "one of text, chat and token_ids must be set, got none")]
    if kind == "text" and not request.text:
        return [("text", "must have at least 1 character, got 0")]
    if kind == "token_ids":
        if not request.token_ids.ids:
            return [("token_ids.ids", "must have at least 1 token, got 0")]
        if (count := len(request.token_ids.ids)) >= context_length:
            return [("token_ids.ids", at_most(context_length, str(count)))]
        return outside("token_ids.ids", list(request.token_ids.ids), tokenizer)
    if kind == "chat":
        if not request.chat.messages:
            return [("chat.messages", "must have at least 1 message, got 0")]
        if (count := len(request.chat.messages)) > MAX_MESSAGES:
            return [("chat.messages", f"must be at most {MAX_MESSAGES}, got {count}")]
        if not tokenizer.has_chat_template:
            return [("chat", "the model has no chat template; send text or token_ids")]
    return []


def uses_template(request: router_pb2.GenerateRequest, tokenizer: Tokenizer) -> bool:
    """Whether the prompt goes through the chat template."""
    kind = request.WhichOneof("prompt")
    return kind == "chat" or (kind == "text" and not request.raw and tokenizer.has_chat_template)


def prompt_tokens(
    request: router_pb2.GenerateRequest, tokenizer: Tokenizer, context_length: int
) -> list[int]:
    """The prompt's tokens.

    Raises:
        InvalidField: the chat template refuses the messages, or it is far too long.
    """
    kind = request.WhichOneof("prompt")
    if kind == "token_ids":
        return list(request.token_ids.ids)
    templated = uses_template(request, tokenizer)
    text = request.text
    if templated:
        messages = [Message(m.role, m.content) for m in request.chat.messages]
        try:
            text = tokenizer.render_chat(messages or [Message("user", request.text)])
        except ChatTemplateError as error:
            raise InvalidField(("chat", str(error))) from error
    _check_piece_by_piece(kind or "prompt", text, tokenizer, context_length)
    return tokenizer.encode(text, special=not templated)


def _check_piece_by_piece(field: str, text: str, tokenizer: Tokenizer, context_length: int) -> None:
    """Refuses a text of far too many tokens without holding all of them.

    A cut text has a few tokens more at each cut: so few cuts make nowhere near twice as many.

    Raises:
        InvalidField: it has more than twice what fits.
    """
    size = max(_PIECE, 8 * context_length)
    if len(text) <= size:
        return
    count = 0
    for start in range(0, len(text), size):
        count += len(tokenizer.encode(text[start : start + size], special=False))
        if count > 2 * context_length:
            found = f"{count} and more in its first {start + size} characters"
            raise InvalidField((field, at_most(context_length, found)))


def at_most(context_length: int, found: str) -> str:
    """What a prompt that is too long must be."""
    return f"must have at most {context_length - 1} tokens, got {found}"
