"""The slot: exact roll-back, whatever is appended and truncated in between."""

import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.engine.model import Model, load
from services.engine.pages import PAGE
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


PAGES = 12


@pytest.fixture(scope="module")
def small(model: Model) -> Model:
    facts = model.facts
    budget = PAGES * PAGE * facts.cache_bytes // facts.cache_tokens
    return load(TINY / "drafter", device="cpu", dtype="float32", cache_bytes=budget)


@settings(max_examples=150, deadline=None)
@given(
    sessions=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 70), st.integers(0, 70)),
        min_size=1,
        max_size=5,
    ),
    victims=st.sets(st.integers(1, 4)),
    count=st.integers(1, 200),
)
def test_what_is_missing_is_what_reserving_lacks(
    small: Model, sessions: list[tuple[int, int, int]], victims: set[int], count: int
) -> None:
    """Of sessions that begin alike in part, and are rolled back: the first asks for room."""
    pool, slots = small.cache.pool, []
    try:
        for kind, length, left in sessions:
            slot = small.new_slot()
            slots.append(slot)
            tokens = [(kind + i) % 256 for i in range(length)]
            found = slot.adopt(tokens[:-1])
            if slot.missing(length - found) > 0:
                continue
            small.forward(slot, tokens[found:], 1)
            slot.share()
            slot.truncate(left)
        leaving = [slot for i, slot in enumerate(slots) if i in victims]
        missing = slots[0].missing(count, leaving)
        for slot in leaving:
            slot.give_way()
        assert slots[0].missing(count) == missing
        before = pool.free, list(slots[0].pages), [pool.registered(i) for i in range(PAGES)]
        assert slots[0].reserve(count) is (missing <= 0)
        if missing > 0:
            now = pool.free, slots[0].pages, [pool.registered(i) for i in range(PAGES)]
            assert now == before, "nothing changes where there is no room"
    finally:
        for slot in slots:
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
