"""What a request leaves out."""

from typing import Any

import pytest
from cascade.v1 import law_pb2, router_pb2

from router.pace import Overlap
from router.prompt import prompt_violations
from router.request import resolve
from router.text import Tokenizer
from services.errors import InvalidField
from tests.unit.text_samples import byte_level


@pytest.mark.parametrize(
    ("fields", "early_stop"),
    [
        ({}, None),
        ({"block_length": 5}, 0.0),
        ({"early_stop": 0.0}, 0.0),
        ({"early_stop": 0.4}, 0.4),
        ({"block_length": 5, "early_stop": 0.4}, 0.4),
    ],
)
def test_blocks_of_a_given_length_are_drafted_whole(
    fields: dict[str, Any], early_stop: float | None
) -> None:
    """Else the router chooses where drafts end, unless the request says it."""
    request = router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=[1, 2]), mode=law_pb2.MODE_SPECULATIVE, **fields
    )
    resolved = resolve(
        request,
        byte_level(),
        context_length=100,
        end_token_ids=frozenset(),
        overlap=Overlap(),
    )
    assert resolved.early_stop == early_stop


def refused(text: str, **fields: Any) -> InvalidField:
    request = router_pb2.GenerateRequest(mode=law_pb2.MODE_EXPERT, text=text, **fields)
    with pytest.raises(InvalidField) as caught:
        resolve(
            request, byte_level(), context_length=100, end_token_ids=frozenset(), overlap=Overlap()
        )
    return caught.value


def test_a_text_that_is_far_too_long_is_not_tokenised_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    encode = Tokenizer.encode

    def noted(self: Tokenizer, text: str, *, special: bool) -> list[int]:
        sizes.append(len(text))
        return encode(self, text, special=special)

    monkeypatch.setattr(Tokenizer, "encode", noted)
    (violation,) = refused("!?" * 2**20).violations
    assert violation == (
        "text",
        "must have at most 99 tokens, got 65536 and more in its first 65536 characters",
    )
    assert sizes == [2**16]
    (violation,) = refused("!?" * 100).violations
    assert violation == ("text", "must have at most 99 tokens, got 200")


def test_messages_and_tokens_are_counted_before_anything_is_made_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Tokenizer, "has_chat_template", True)
    tokenizer = byte_level()
    many = router_pb2.Chat(messages=[router_pb2.ChatMessage(role="user")] * 4097)
    request = router_pb2.GenerateRequest(mode=law_pb2.MODE_EXPERT, chat=many)
    assert prompt_violations(request, tokenizer, 100) == [
        ("chat.messages", "must be at most 4096, got 4097")
    ]
    request.token_ids.ids.extend([1] * 100)
    assert prompt_violations(request, tokenizer, 100) == [
        ("token_ids.ids", "must have at most 99 tokens, got 100")
    ]
