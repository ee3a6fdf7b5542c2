"""Answers of the real services, token for token those of the oracle that is given the noise.

The oracle gets the logits of an in-process pass over the whole answer.  The services' passes are
cut otherwise, so in the last bits theirs differ; at these seeds no token hangs on them.
"""

import asyncio
from typing import Any

import pytest
from cascade.v1 import expert_pb2, law_pb2

from tests.client import Client, Result, connected
from tests.laws.tiny import logits
from tests.oracle import answer as oracle
from tests.services import Services

TOKENS, K = 30, 64
AT_ONCE = 16
PROMPTS = [
    list(text.encode())
    for text in ("Return a ", "The ", "If the ", "Raises ValueError", "A list of ", "def ", "é")
]
MODES = {"lossless": law_pb2.MODE_SPECULATIVE, "token_v3": law_pb2.MODE_SPECULATIVE_CASCADE}
LAWS = [("lossless", 0.0), ("token_v3", 0.5), ("token_v3", 0.9)]


async def served(client: Client, answers: int, fields: dict[str, Any]) -> list[Result]:
    """An answer for each seed."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> Result:
        async with free:
            prompt = PROMPTS[seed % len(PROMPTS)]
            return await client.generate(prompt=prompt, seed=seed, max_tokens=TOKENS, **fields)

    return await asyncio.gather(*map(one, range(answers)))


def origins(result: Result) -> list[str]:
    """By their names in lower case."""
    names = (expert_pb2.Origin.Name(token.origin) for token in result.tokens)
    return [name.removeprefix("ORIGIN_").lower() for name in names]


def check(result: Result, prompt: list[int], law: oracle.Law) -> None:
    """Every token of an answer is the oracle's after the ones before it."""
    whole = prompt + result.ids
    rows = {name: logits(name, whole).tolist() for name in ("drafter", "expert")}

    for t in range(len(prompt), len(whole)):
        token = oracle.next_token(
            law,
            whole[:t],
            lambda prefix: rows["drafter"][len(prefix) - 1],
            lambda prefix: rows["expert"][len(prefix) - 1],
        )
        assert token.id == whole[t], f"token {t - len(prompt)} of seed {law.seed}"
        if t - len(prompt) < len(result.tokens):
            assert token.origin == origins(result)[t - len(prompt)]
    assert len(result.tokens) == TOKENS or result.finished.HasField("end_token_id")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("answers", "temperature"),
    [
        (16, 1.0),
        pytest.param(50, 1.0, marks=pytest.mark.laws),
        pytest.param(50, 0.7, marks=pytest.mark.laws),
    ],
)
@pytest.mark.parametrize(("rule", "alpha"), LAWS)
async def test_the_services_answer_as_the_oracle(
    tiny_services: Services, rule: str, alpha: float, temperature: float, answers: int
) -> None:
    fields = {
        "mode": MODES[rule],
        "alpha": alpha,
        "temperature": temperature,
        "candidates": K,
    }
    async with connected(tiny_services.address) as client:
        results = await served(client, answers, fields | {"block_length": 1})
        for block in (2, 4):
            others = await served(client, answers, fields | {"block_length": block})
            assert [r.ids for r in others] == [r.ids for r in results], f"blocks of {block}"
            assert [origins(r) for r in others] == [origins(r) for r in results]
    for seed, result in enumerate(results):
        law = oracle.Law(
            "speculative", rule, alpha, temperature, top_k=0, top_p=1.0, candidates=K, seed=seed
        )
        check(result, PROMPTS[seed % len(PROMPTS)], law)
    found = {origin for result in results for origin in origins(result)}
    expected = {"accepted", "resampled"} | ({"trusted"} if rule == "token_v3" else set())
    assert found == expected
    assert sum(len(result.ids) for result in results) > 10 * answers, "answers are too short"
