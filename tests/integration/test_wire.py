"""What a drafted token costs on the wire, as the router counts it."""

import asyncio
import pydoc_data.topics
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cascade.v1 import law_pb2

from bench.wire.traffic import Bytes, traffic
from tests.client import Client, connected
from tests.services import Services

TEXTS = sorted(pydoc_data.topics.topics.values())
PROMPTS = [list(" ".join(text.split())[:40].encode()) for text in TEXTS[:6]]
LOSSLESS: dict[str, Any] = {"mode": law_pb2.MODE_SPECULATIVE, "rule": law_pb2.RULE_LOSSLESS}
TOKEN_V3: dict[str, Any] = {
    "mode": law_pb2.MODE_SPECULATIVE_CASCADE,
    "rule": law_pb2.RULE_TOKEN_V3,
}
GATE: dict[str, Any] = {"form": law_pb2.FORM_GATE}
COUPLED: dict[str, Any] = {"coupling": law_pb2.COUPLING_GUMBEL}
GREEDY: dict[str, Any] = {"temperature": 0.0}


@pytest.fixture
async def client(tiny_services: Services) -> AsyncIterator[Client]:
    async with connected(tiny_services.address) as client:
        yield client


async def per_token(client: Client, **fields: Any) -> Bytes:
    """Bytes for each drafted token, of answers of 64 tokens at temperature 1 with K = 64."""
    fields = {"temperature": 1.0, "candidates": 64, "block_length": 5, "draft_ahead": 0, **fields}
    results = await asyncio.gather(
        *(
            client.generate(prompt=prompt, seed=i, max_tokens=64, ignore_end_tokens=True, **fields)
            for i, prompt in enumerate(PROMPTS)
        )
    )
    answers = zip(PROMPTS, (r.finished.statistics for r in results), strict=True)
    return traffic(answers).per_token


async def test_the_gate_form_of_token_v3_sends_nothing_of_q(client: Client) -> None:
    gate = await per_token(client, **TOKEN_V3, **GATE)
    residual = await per_token(client, **TOKEN_V3)
    assert gate.expert_up <= 16
    assert gate.expert_up < residual.expert_up / 4
    assert gate.drafter_down < residual.drafter_down / 4


@pytest.mark.parametrize("fields", [GREEDY, COUPLED], ids=["greedy", "coupled"])
async def test_lossless_without_noise_of_its_own_sends_no_candidates(
    client: Client, fields: dict[str, Any]
) -> None:
    """Greedy and coupled the expert compares tokens; only uncoupled does it need q."""
    found = await per_token(client, **LOSSLESS, **fields)
    residual = await per_token(client, **LOSSLESS)
    assert found.expert_up <= 16
    assert found.drafter_down < residual.drafter_down / 4


async def test_the_residual_form_stays_within_its_limits(client: Client) -> None:
    """At K = 64, the prompt and the opening included."""
    for fields in (LOSSLESS, TOKEN_V3):
        found = await per_token(client, **fields)
        assert found.expert_up <= 400
        assert found.expert_down <= 64


async def test_a_prompt_is_sent_once_to_each(client: Client) -> None:
    """A prompt's own bytes are what a longer one adds, whatever is drafted then."""
    fields = {"max_tokens": 1, "block_length": 1, **LOSSLESS, **GREEDY}
    one = await client.generate(prompt=PROMPTS[0], **fields)
    longer = PROMPTS[0] * 2
    two = await client.generate(prompt=longer, **fields)
    stats = [result.finished.statistics for result in (one, two)]
    assert [s.drafted for s in stats] == [1, 1]
    added = len(longer) - len(PROMPTS[0])
    for name in ("drafter_bytes_up", "expert_bytes_up"):
        first, second = (getattr(s, name) for s in stats)
        # Drafted ids and lengths may take a byte more or less.
        assert added - 2 <= second - first <= added + 6, name
