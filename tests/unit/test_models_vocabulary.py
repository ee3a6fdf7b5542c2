"""Padding entries leave the vocabulary, and nothing else does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.models.vocabulary import UNUSED, vocabulary_size, without_padding

TYPES = st.lists(st.sampled_from([1, 3, 4, UNUSED]))


@given(TYPES, st.integers(0, 5))
def test_trailing_unused_ids_do_not_count(types: list[int], padding: int) -> None:
    size = vocabulary_size([*types, *[UNUSED] * padding])
    assert all(kind == UNUSED for kind in types[size:])
    assert size == 0 or types[size - 1] != UNUSED


def test_unused_ids_between_others_keep_their_place() -> None:
    assert vocabulary_size([1, UNUSED, 3, UNUSED, UNUSED]) == 3


def test_the_marker_is_the_one_of_the_format() -> None:
    from gguf import TokenType

    assert int(TokenType.UNUSED) == UNUSED


def test_vocabulary_and_added_tokens_lose_the_padding() -> None:
    tokenizer: dict[str, Any] = {
        "normalizer": None,
        "added_tokens": [{"id": 1, "content": "<e>"}, {"id": 2, "content": "[PAD2]"}],
        "model": {"type": "BPE", "vocab": {"a": 0, "<e>": 1, "[PAD2]": 2}, "merges": []},
    }
    assert without_padding(tokenizer, 2) == {
        "normalizer": None,
        "added_tokens": [{"id": 1, "content": "<e>"}],
        "model": {"type": "BPE", "vocab": {"a": 0, "<e>": 1}, "merges": []},
    }
    assert len(tokenizer["added_tokens"]) == 2
