"""Answers of the real services, token for token those of the oracle that is given the noise.

The oracle gets the logits of an in-process pass over the whole answer.  The services' passes are
cut otherwise, so in the last bits theirs differ; at these seeds no token hangs on them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from cascade.v1 import expert_pb2, law_pb2

from tests.client import Client, Result, connected
from tests.laws.laws import BY_TOKEN, SEQUENCE_CASCADES, Cell, request_fields, to_oracle
from tests.laws.tiny import logits, model
from tests.oracle import answer as oracle
from tests.services import Services

TOKENS = 30
AT_ONCE = 16
PROMPTS = [
    list(text.encode())
    for text in ("Return a ", "The ", "If the ", "Raises ValueError", "A list of ", "def ", "é")
]
# Some in the suite, all that was promised with the mark.
ANSWERS = [3, pytest.param(50, marks=[pytest.mark.laws, pytest.mark.timeout(1800)])]
TEMPERATURES = [0.0, 0.7, 1.0]
OVERLAPS = (
    {"draft_ahead": 1, "alternatives": 0},
    {"draft_ahead": 1, "alternatives": 2, "early_stop": 0.3},
    {"draft_ahead": 2, "alternatives": 1, "early_stop": 0.6},
)


async def served(
    client: Client,
    laws: list[law_pb2.Law],
    block_length: int,
    overlaps: Sequence[Mapping[str, float]] = ({"draft_ahead": 0},),
) -> list[Result]:
    """An answer for each law, with the overlaps in turn."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(index: int, law: law_pb2.Law) -> Result:
        async with free:
            fields: dict[str, Any] = request_fields(law)
            return await client.generate(
                prompt=PROMPTS[index % len(PROMPTS)],
                max_tokens=TOKENS,
                block_length=block_length,
                **overlaps[index % len(overlaps)],
                **fields,
            )

    return await asyncio.gather(*(one(i, law) for i, law in enumerate(laws)))


def origins(result: Result) -> list[str]:
    """By their names in lower case."""
    names = (expert_pb2.Origin.Name(token.origin) for token in result.tokens)
    return [name.removeprefix("ORIGIN_").lower() for name in names]


def same_origin(found: str, expected: str, law: law_pb2.Law) -> bool:
    """A bonus is the expert's token, where a block's end allows one."""
    return found == expected or (found == "bonus" and law.rule == law_pb2.RULE_LOSSLESS)


def check(result: Result, prompt: list[int], law: law_pb2.Law) -> None:
    """Every token of an answer is the oracle's after the ones before it."""
    whole = prompt + result.ids
    rows = {name: logits(name, whole).tolist() for name in ("drafter", "expert")}
    expected_law, found = to_oracle(law), origins(result)
    for t in range(len(prompt), len(whole)):
        token = oracle.next_token(
            expected_law,
            whole[:t],
            lambda prefix: rows["drafter"][len(prefix) - 1],
            lambda prefix: rows["expert"][len(prefix) - 1],
        )
        at = t - len(prompt)
        assert token.id == whole[t], f"token {at} of seed {law.seed}"
        if at < len(result.tokens):
            assert same_origin(found[at], token.origin, law), f"token {at} of seed {law.seed}"
    assert len(result.tokens) == TOKENS or result.finished.HasField("end_token_id")


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("cell", BY_TOKEN, ids=str)
async def test_the_services_answer_as_the_oracle(
    tiny_services: Services, cell: Cell, temperature: float, answers: int
) -> None:
    laws = [cell.law(temperature, seed=seed) for seed in range(answers)]
    async with connected(tiny_services.address) as client:
        results = await served(client, laws, block_length=3)
        others = await served(client, laws, block_length=7)
        overlapped = await served(client, laws, block_length=3, overlaps=OVERLAPS)
    assert [r.ids for r in others] == [r.ids for r in results], "blocks of 3 and 7 differ"
    assert [r.ids for r in overlapped] == [r.ids for r in results], "overlap differs"
    for index, (result, law) in enumerate(zip(results, laws, strict=True)):
        check(result, PROMPTS[index % len(PROMPTS)], law)
    assert sum(len(result.ids) for result in results) > 10 * answers, "answers are too short"


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("cell", SEQUENCE_CASCADES, ids=str)
async def test_the_sequence_cascade_answers_as_the_oracle(
    tiny_services: Services, cell: Cell, temperature: float, answers: int
) -> None:
    """Which of two whole answers it is, too."""
    laws = [cell.law(temperature, seed=seed) for seed in range(answers)]
    ends = model("expert").facts.end_token_ids
    async with connected(tiny_services.address) as client:
        results = await served(client, laws, block_length=3)
    for index, (result, law) in enumerate(zip(results, laws, strict=True)):
        expected = oracle.answer(
            to_oracle(law),
            PROMPTS[index % len(PROMPTS)],
            TOKENS,
            ends,
            lambda prefix: logits("drafter", prefix)[-1].tolist(),
            lambda prefix: logits("expert", prefix)[-1].tolist(),
        )
        assert [token.id for token in result.tokens] == expected.ids, f"seed {law.seed}"
        kept = {token.origin for token in expected.tokens} == {"drafter"}
        assert (set(origins(result)) == {"drafter"}) == kept, f"seed {law.seed}"
