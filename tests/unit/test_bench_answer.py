"""Answers and where they part."""

from hypothesis import given
from hypothesis import strategies as st

from bench.answer import first_difference
from tests.unit.bench_samples import an_answer

TOKENS = st.lists(st.integers(0, 3), max_size=6)


@given(TOKENS, TOKENS)
def test_the_first_difference_ends_the_common_prefix(one: list[int], other: list[int]) -> None:
    at = first_difference(one, other)
    if at is None:
        assert one == other
    else:
        assert one[:at] == other[:at]
        assert one[at : at + 1] != other[at : at + 1]


def test_the_end_token_is_emitted_and_not_of_the_answer() -> None:
    assert an_answer(2).emitted == (0, 1)
    assert an_answer(2, end_token_id=9).emitted == (0, 1, 9)
    assert an_answer(2, end_token_id=9).token_ids == (0, 1)
