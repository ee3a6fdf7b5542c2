"""A drafter that knows only a part of the vocabulary: the expert's law stays."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cascade.v1 import law_pb2

from tests.client import Client, connected
from tests.integration.test_modes import PROMPTS
from tests.services import TINY, Services, launch, running

ASKED, KNOWN, END = 96, 111, 256
"""Of 257 tokens, one for each byte: the first 111, rounded up to kernels' sizes with the end token.

So the letters from "o" on are never drafted.
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("short")
    with running(folder, drafter_flags=("--draft-vocabulary", str(ASKED))) as found:
        yield found


@pytest.fixture
async def client(services: Services) -> AsyncIterator[Client]:
    async with connected(services.address) as client:
        yield client


@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "coupled"])
async def test_lossless_answers_are_the_experts(client: Client, temperature: float) -> None:
    """Token for token; those that the drafter can't say are among them."""

    async def answers(**fields: Any) -> list[Any]:
        return await asyncio.gather(
            *(
                client.generate(prompt=p, seed=i, max_tokens=30, temperature=temperature, **fields)
                for i, p in enumerate(PROMPTS[:30])
            )
        )

    experts = await answers(mode=law_pb2.MODE_EXPERT)
    coupling = law_pb2.COUPLING_GUMBEL if temperature else law_pb2.COUPLING_UNSPECIFIED
    drafted = await answers(mode=law_pb2.MODE_SPECULATIVE, coupling=coupling)
    assert [answer.ids for answer in drafted] == [answer.ids for answer in experts]
    assert any(KNOWN <= token < END for answer in experts for token in answer.ids)


async def test_the_drafter_alone_says_only_what_it_knows(client: Client) -> None:
    answers = await asyncio.gather(
        *(
            client.generate(
                prompt=p, seed=i, max_tokens=30, mode=law_pb2.MODE_DRAFTER, temperature=2.0
            )
            for i, p in enumerate(PROMPTS[:10])
        )
    )
    said = {token for answer in answers for token in answer.ids}
    assert len(said) > 30
    assert max(said - {END}) < KNOWN


def test_an_expert_with_less_than_its_vocabulary_is_refused(tmp_path: Path) -> None:
    flags = ("--model", str(TINY / "expert"), "--draft-vocabulary", str(ASKED))
    expert = launch("services.expert", "expert", tmp_path, *flags)
    assert expert.wait(60) == 2
    log = (tmp_path / "expert.log").read_text()
    assert "--draft-vocabulary: of a drafter alone; an expert's law stays whole" in log
    assert "Traceback" not in log
