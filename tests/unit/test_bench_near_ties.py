"""Comparing answers that are equal on paper."""

from pathlib import Path

import pytest
import torch
from cascade.v1 import law_pb2

from bench.near_ties.ask import Sampling, request
from bench.near_ties.compare import Comparison, rate
from bench.near_ties.gaps import stepped, view
from bench.prompts import Prompt
from services.engine.model import load
from tests.unit.bench_samples import an_answer

TINY = Path(__file__).parents[1] / "tiny" / "expert"
PROMPT = Prompt("HumanEval/0", (5, 6), chat=False)


def comparison(one: tuple[int, ...], other: tuple[int, ...]) -> Comparison:
    return Comparison(PROMPT, one, other)


def test_only_tokens_with_the_same_prefix_are_compared() -> None:
    parts = comparison((1, 2, 3, 4), (1, 2, 7, 8))
    assert (parts.difference, parts.compared, parts.parted) == (2, 3, (3, 7))
    equal = comparison((1, 2), (1, 2))
    assert (equal.difference, equal.compared, equal.parted) == (None, 2, None)


def test_an_end_token_can_be_what_differs() -> None:
    parts = Comparison.of(PROMPT, an_answer(3), an_answer(2, end_token_id=9))
    assert (parts.difference, parts.parted) == (2, (2, 9))


def test_a_longer_answer_has_no_token_to_compare_with() -> None:
    longer = comparison((1, 2), (1, 2, 3))
    assert (longer.difference, longer.parted) == (2, None)


def test_the_rate_is_by_tokens_up_to_the_first_difference() -> None:
    found = rate([comparison((1, 2, 3, 4), (1, 7, 8, 9)), comparison((1, 2, 3), (1, 2, 3))])
    assert (found.answers, found.differences, found.compared) == (2, 1, 5)
    assert found.per_token == 1 / 5
    assert str(found) == "1 in 5 tokens of 2 answers, one in 5"
    assert str(rate([comparison((1,), (1,))])) == "0 in 1 tokens of 1 answers"
    assert rate([]).per_token == 0.0


@pytest.mark.parametrize(
    ("dtype", "top", "spacing"),
    [("bfloat16", 20.0, 0.125), ("bfloat16", 1.0, 2**-7), ("float32", 20.0, 2**-19)],
)
def test_a_view_of_two_tokens(dtype: str, top: float, spacing: float) -> None:
    found = view(torch.tensor([top - 3, top, top - 0.5, 0.0]), (0, 2), dtype, "in one pass")
    assert found.gap == pytest.approx(-2.5)
    assert found.top_gap == 0.5
    assert found.spacing == spacing
    after = torch.nextafter(
        torch.tensor(top, dtype=getattr(torch, dtype)),
        torch.tensor(100.0, dtype=getattr(torch, dtype)),
    )
    assert float(after) - top == spacing


def test_feeding_token_by_token_is_the_same_context_as_one_pass() -> None:
    model = load(TINY, device="cpu", dtype="float32")
    prompt, prefix = list(b"def add(a, b):"), list(b" return a")
    whole = model.logits(prompt + prefix, rows=1)[0]
    torch.testing.assert_close(stepped(model, prompt, prefix), whole, atol=1e-4, rtol=1e-4)


def test_a_request_names_all_that_makes_answers_equal() -> None:
    asked = request(PROMPT, law_pb2.MODE_EXPERT, Sampling(7, 1.0, seed=3), block_length=5)
    assert list(asked.token_ids.ids) == [5, 6]
    assert (asked.mode, asked.temperature, asked.seed) == (law_pb2.MODE_EXPERT, 1.0, 3)
    assert (asked.max_tokens, asked.block_length) == (7, 5)
    unset = request(PROMPT, law_pb2.MODE_EXPERT, Sampling(7, 0.0, seed=0))
    assert not unset.HasField("block_length")
    assert unset.HasField("temperature")
    assert unset.HasField("seed")
