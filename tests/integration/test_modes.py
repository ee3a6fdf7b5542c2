"""The modes through the real services: equal where they promise to be equal."""

import asyncio
import pydoc_data.topics
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cascade.v1 import law_pb2

from tests.client import Client, connected
from tests.services import Services, running

TEXTS = sorted(pydoc_data.topics.topics.values())
PROMPTS = [" ".join(text.split())[:40] for text in TEXTS[:50]]
MODES: dict[str, dict[str, Any]] = {
    "speculative": {"mode": law_pb2.MODE_SPECULATIVE},
    "token_v3": {"mode": law_pb2.MODE_SPECULATIVE_CASCADE},
    "expert": {"mode": law_pb2.MODE_EXPERT},
    "drafter": {"mode": law_pb2.MODE_DRAFTER},
}

BLOCKS: tuple[dict[str, float], ...] = (
    {"block_length": 1, "draft_ahead": 0},
    {"block_length": 3, "draft_ahead": 0},
    {"block_length": 7, "draft_ahead": 0, "early_stop": 0.5},
    {"block_length": 1, "draft_ahead": 1, "alternatives": 2},
    {"block_length": 3, "draft_ahead": 1, "alternatives": 0},
    {"block_length": 3, "draft_ahead": 1, "alternatives": 3, "early_stop": 0.7},
    {"block_length": 4, "draft_ahead": 3, "alternatives": 1},
    {"block_length": 1, "draft_ahead": 0},
    {"draft_ahead": 1},
)
"""How blocks are drafted; at last as the router chooses."""


@pytest.fixture
async def client(tiny_services: Services) -> AsyncIterator[Client]:
    async with connected(tiny_services.address) as client:
        yield client


async def test_greedy_speculative_equals_greedy_expert(client: Client) -> None:
    """Token for token, on 50 prompts, for every block length."""

    async def answers(**fields: Any) -> list[list[int]]:
        results = await asyncio.gather(
            *(client.generate(prompt=p, max_tokens=30, **fields) for p in PROMPTS)
        )
        return [result.ids for result in results]

    experts = await answers(mode=law_pb2.MODE_EXPERT)
    assert len({tuple(ids) for ids in experts}) >= 20, "the prompts differ in their answers"
    fields = {"mode": law_pb2.MODE_SPECULATIVE}
    for n, ahead, alternatives in (
        (1, 1, 1),
        (2, 0, 0),
        (5, 0, 0),
        (5, 1, 0),
        (4, 1, 3),
        (8, 3, 2),
    ):
        overlap = {"draft_ahead": ahead, "alternatives": alternatives}
        assert await answers(block_length=n, **overlap, **fields) == experts, (n, overlap)
    # Whatever the router chooses, the expert alone included: at temperature 0 it is the same.
    assert await answers(allow_expert_alone=True, **fields) == experts


@pytest.mark.parametrize("name", MODES)
async def test_the_seed_decides_whatever_the_blocks(client: Client, name: str) -> None:
    """At temperature 1 the same seed gives the same tokens: blocks of any length, ahead or not."""
    fields = MODES[name] | {"temperature": 1.0, "max_tokens": 40}

    async def two_answers(i: int, prompt: str) -> set[tuple[int, ...]]:
        first, *others = await asyncio.gather(
            *(
                client.generate(prompt=prompt, seed=i, allow_expert_alone=False, **blocks, **fields)
                for blocks in BLOCKS
            )
        )
        assert all(other.ids == first.ids for other in others)
        other_seed = await client.generate(prompt=prompt, seed=i + 1000, **fields)
        return {tuple(first.ids), tuple(other_seed.ids)}

    prompts = enumerate(PROMPTS[:8])
    seen = set[tuple[int, ...]]().union(
        *await asyncio.gather(*(two_answers(i, prompt) for i, prompt in prompts))
    )
    assert len(seen) == 16, "another seed gives another answer"


async def test_the_seed_survives_a_cancelled_attempt_and_a_fresh_process(
    client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same request gives the same tokens after a cancelled one, and in new processes."""
    requests = [
        fields | {"prompt": PROMPTS[3], "temperature": 1.0, "seed": 2**64 - 1, "max_tokens": 40}
        for fields in MODES.values()
    ]
    before = [(await client.generate(**fields)).ids for fields in requests]
    for fields in requests:
        task = asyncio.ensure_future(client.generate(**fields))
        await asyncio.sleep(0.02)
        task.cancel()
    assert [(await client.generate(**fields)).ids for fields in requests] == before
    with running(tmp_path_factory.mktemp("fresh")) as services:
        async with connected(services.address) as fresh:
            assert [(await fresh.generate(**fields)).ids for fields in requests] == before


async def test_trusting_everything_is_the_drafter(client: Client) -> None:
    """TokenV3 at alpha 1 defers nothing: the drafter's own answer, at any temperature."""
    for temperature in (0.0, 1.0):
        fields: dict[str, Any] = {
            "prompt": PROMPTS[5],
            "temperature": temperature,
            "seed": 7,
            "max_tokens": 40,
        }
        drafter = await client.generate(mode=law_pb2.MODE_DRAFTER, **fields)
        cascade = await client.generate(mode=law_pb2.MODE_SPECULATIVE_CASCADE, alpha=1.0, **fields)
        assert cascade.ids == drafter.ids
        assert cascade.finished.statistics.acceptance_rate == 1


async def test_defaults_are_told(client: Client) -> None:
    """A bare request is answered by the documented defaults, and says so."""
    result = await client.generate(prompt="The", max_tokens=5)
    law = result.started.law
    assert (law.mode, law.rule) == (law_pb2.MODE_SPECULATIVE_CASCADE, law_pb2.RULE_TOKEN_V3)
    assert (law.alpha, law.temperature, law.candidates) == (0.5, 0.0, 64)
    assert (law.form, law.coupling) == (law_pb2.FORM_RESIDUAL, law_pb2.COUPLING_INDEPENDENT)
    assert (await client.generate(prompt="a", max_tokens=1, temperature=1)).started.law.alpha == 0.8
    seeds = {(await client.generate(prompt="a", max_tokens=1)).started.law.seed for _ in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize(("ahead", "alternatives"), [(0, 0), (1, 0), (1, 3)])
@pytest.mark.parametrize("name", MODES)
async def test_statistics_add_up(client: Client, name: str, ahead: int, alternatives: int) -> None:
    """Every emitted token has an origin; counts agree with each other."""
    result = await client.generate(
        prompt=PROMPTS[0],
        temperature=1.0,
        seed=3,
        max_tokens=60,
        ignore_end_tokens=True,
        draft_ahead=ahead,
        alternatives=alternatives,
        **MODES[name],
    )
    stats = result.finished.statistics
    assert result.finished.usage.completion_tokens == 60 == len(result.tokens)
    assert sum(stats.tokens_by_origin.values()) == 60
    assert stats.tokens_per_round == pytest.approx(60 / stats.rounds)
    assert stats.may_change_expert_law == (name in ("drafter", "token_v3"))
    assert sum(stats.accepted_by_position) == stats.accepted <= stats.reached <= stats.drafted
    if name in ("speculative", "token_v3"):
        assert 0 < stats.acceptance_rate < 1
        # Drafting ahead, the expert sees the prompt in a pass of its own.
        assert stats.expert_calls == stats.rounds + ahead
        assert stats.blocks_ahead_used <= stats.blocks_ahead <= ahead * stats.rounds + ahead
        rejections = stats.tokens_by_origin["ORIGIN_RESAMPLED"]
        assert stats.rejections == (rejections if alternatives else 0)
        assert stats.forks_used <= sum(stats.rejections_by_alternative) <= stats.rejections
        assert bool(stats.forks_used) == bool(alternatives)
        assert stats.distance == 0 if name == "speculative" else stats.distance > 0
    else:
        assert not stats.HasField("acceptance_rate")
        assert not stats.HasField("distance")
    assert stats.total_ms >= stats.time_to_first_token_ms > 0
    if not ahead:  # else both work at the same time
        assert stats.draft_ms + stats.verify_ms <= stats.total_ms
