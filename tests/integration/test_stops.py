"""Where an answer ends: end tokens, stop tokens, stop strings, limits, in order."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cascade.v1 import law_pb2
from cascade.v1 import router_pb2 as pb

from tests.client import Client, connected
from tests.services import Services

END = 256
MODES = (
    law_pb2.MODE_DRAFTER,
    law_pb2.MODE_EXPERT,
    law_pb2.MODE_SPECULATIVE,
    law_pb2.MODE_SPECULATIVE_CASCADE,
)


@pytest.fixture
async def client(tiny_services: Services) -> AsyncIterator[Client]:
    async with connected(tiny_services.address) as client:
        yield client


@pytest.mark.parametrize("mode", MODES)
async def test_an_end_token_ends_the_answer(client: Client, mode: int) -> None:
    ended = 0
    results = await asyncio.gather(
        *(
            client.generate(
                prompt="Return a name.", mode=mode, temperature=1.0, seed=seed, max_tokens=60
            )
            for seed in range(10)
        )
    )
    for result in results:
        assert all(token.id != END for token in result.tokens)
        if result.finished.reason == pb.FINISH_REASON_END_TOKEN:
            ended += 1
            assert result.finished.end_token_id == END
        else:
            assert result.finished.reason == pb.FINISH_REASON_MAX_TOKENS
            assert len(result.tokens) == 60
        assert result.finished.usage.completion_tokens == len(result.tokens)
    assert ended > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("block_length", [1, 4, 7])
async def test_stop_strings_and_stop_tokens_cut_exactly(
    client: Client, mode: int, block_length: int
) -> None:
    """Wherever in a block the stop falls, the answer is the whole one cut before it."""
    fields: dict[str, Any] = {
        "prompt": "The value of ",
        "mode": mode,
        "temperature": 0.7,
        "seed": 11,
        "max_tokens": 60,
        "ignore_end_tokens": True,
        "block_length": block_length,
    }
    whole = await client.generate(**fields)
    assert whole.finished.reason == pb.FINISH_REASON_MAX_TOKENS
    for start in (0, 7, 20, 41):
        stop = whole.text[start : start + 3]
        if stop.isascii() and len(stop) == 3:
            cut = await client.generate(stop_strings=["\0never", stop], **fields)
            assert cut.text == whole.text[: whole.text.index(stop)]
            assert cut.finished.reason == pb.FINISH_REASON_STOP_STRING
            assert cut.finished.stop_string == stop
            assert cut.finished.usage.completion_tokens == len(cut.tokens)
        token = whole.tokens[start].id
        cut = await client.generate(stop_token_ids=[token], **fields)
        ids = [t.id for t in whole.tokens]
        assert [t.id for t in cut.tokens] == ids[: ids.index(token)]
        assert cut.finished.reason == pb.FINISH_REASON_STOP_TOKEN
        assert cut.finished.end_token_id == token


async def test_a_stop_on_the_last_token_beats_the_limit(client: Client) -> None:
    fields: dict[str, Any] = {
        "prompt": "The value of ",
        "ignore_end_tokens": True,
        "mode": law_pb2.MODE_EXPERT,
    }
    whole = await client.generate(max_tokens=30, **fields)
    limit = len(whole.tokens)
    cut = await client.generate(max_tokens=limit, stop_strings=[whole.text[-4:]], **fields)
    assert cut.finished.reason == pb.FINISH_REASON_STOP_STRING


async def test_the_context_can_be_filled_to_its_end(client: Client) -> None:
    """Prompt and answer together may take the whole context, in every mode."""
    for mode in MODES:
        result = await client.generate(
            prompt="x" * 500, mode=mode, max_tokens=12, ignore_end_tokens=True
        )
        assert len(result.tokens) == 12
