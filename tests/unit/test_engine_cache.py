"""The slot: exact roll-back, whatever is appended and truncated in between."""

import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.engine.model import Model, load
from tests.services import TINY

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)
    return load(TINY / "drafter", device="cpu", dtype="float32")


def fresh(model: Model, tokens: list[int]) -> torch.Tensor:
    """The last position's logits, from an empty slot."""
    return model.logits(tokens, 1)[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.lists(st.integers(0, 255), min_size=1, max_size=40)),
        min_size=1,
        max_size=8,
    )
)
def test_rolling_back_and_going_on_equals_starting_anew(
    model: Model, edits: list[tuple[int, list[int]]]
) -> None:
    slot, tokens = model.new_slot(), list(b"start")
    model.forward(slot, tokens, 1)
    for position, append in edits:
        position = max(min(position, len(tokens)), 1)
        slot.truncate(position)
        tokens = tokens[:position] + append
        logits = model.forward(slot, append, 1)[0]
        assert slot.length == len(tokens)
        torch.testing.assert_close(logits, fresh(model, tokens), atol=TOLERANCE, rtol=0)
    slot.truncate(0)


def test_a_slot_reads_pages_that_do_not_lie_in_a_row(model: Model) -> None:
    slot = model.new_slot()
    tokens = [i % 256 for i in range(400)]
    pool, between = model.cache.pool, []
    for start in range(0, 300, 5):
        model.forward(slot, tokens[start : start + 5], 1)
        page = pool.take(slot.pages[-1])  # what lies behind is another's
        assert page is not None
        between.append(page)
    assert any(b != a + 1 for a, b in pairwise(slot.pages))
    logits = model.forward(slot, tokens[300:], 1)[0]
    torch.testing.assert_close(logits, fresh(model, tokens), atol=TOLERANCE, rtol=0)
    slot.truncate(0)
    for page in between:
        pool.release(page)
    assert pool.free == pool.total


def test_rows_are_the_last_positions(model: Model) -> None:
    tokens = list(b"some text")
    rows = model.logits(tokens, 4)
    assert rows.shape == (4, model.facts.vocabulary_size)
    for j in range(4):
        expected = fresh(model, tokens[: len(tokens) - 3 + j])
        torch.testing.assert_close(rows[j], expected, atol=TOLERANCE, rtol=0)


def test_padding_entries_of_the_output_layer_are_masked(model: Model) -> None:
    """Both models have more output entries than the tokenizer, and not equally many."""
    expert = load(TINY / "expert", device="cpu", dtype="float32")
    for one in (model, expert):
        assert one.facts.vocabulary_size == 257
        assert fresh(one, [65]).shape == (257,)
    outputs = {json.loads(p.read_text())["vocab_size"] for p in TINY.glob("*/config.json")}
    assert len(outputs) == 2
    assert min(outputs) > 257
