"""Simulated models behind a network: the same answers, and a clear end where it fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from cascade.v1 import law_pb2

from bench.fallback.measure import running
from bench.load.measure import ALONE, FIXED, measure
from bench.network.predicted import Times
from bench.network.services import Network, network
from bench.relay import Relay
from tests.client import Client, connected, make_request

TOKENS = 60
LAWS: dict[str, dict[str, Any]] = {
    "greedy": {"mode": law_pb2.MODE_SPECULATIVE},
    "lossless": {"mode": law_pb2.MODE_SPECULATIVE, "temperature": 1.0},
    "coupled": {
        "mode": law_pb2.MODE_SPECULATIVE,
        "temperature": 1.0,
        "coupling": law_pb2.COUPLING_GUMBEL,
    },
    "token_v3": {"mode": law_pb2.MODE_SPECULATIVE_CASCADE, "temperature": 1.0},
}


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network(Times(0.5, 3.0), agreement=0.8) as net:
        yield net


async def answer(client: Client, seed: int, **fields: Any) -> list[int]:
    result = await client.generate(
        prompt=[seed, 1, 2], seed=seed, max_tokens=TOKENS, **{"mode": 0, **fields}
    )
    return result.ids


@pytest.mark.parametrize("name", LAWS)
async def test_latency_and_drafting_ahead_change_no_token(net: Network, name: str) -> None:
    async with connected(net.router, plain=True) as client:
        net.link.latency_s = net.link.jitter_s = 0.0
        seeds = range(3)
        plain = await asyncio.gather(
            *(answer(client, seed, draft_ahead=0, **LAWS[name]) for seed in seeds)
        )
        net.link.latency_s, net.link.jitter_s = 0.002, 0.004
        for ahead, alternatives in ((0, 0), (1, 0), (1, 2), (3, 0), (3, 2)):
            overlap = {"draft_ahead": ahead, "alternatives": alternatives}
            late = await asyncio.gather(
                *(answer(client, seed, **overlap, **LAWS[name]) for seed in seeds)
            )
            assert late == plain, overlap


async def test_without_a_link_there_is_no_relay(net: Network) -> None:
    address, link = net.over(4.0)
    assert (address, link) == (net.router, net.link)
    assert 0 < net.link.latency_s <= 0.002
    near, none = net.over(0.0)
    assert none is None
    async with connected(address, plain=True) as far, connected(near, plain=True) as close:
        assert await answer(far, 3, **LAWS["greedy"]) == await answer(close, 3, **LAWS["greedy"])


async def test_the_expert_alone_says_the_same_at_temperature_0(net: Network) -> None:
    async with connected(net.router, plain=True) as client:
        net.link.latency_s = net.link.jitter_s = 0.0
        alone = await answer(client, 5, mode=law_pb2.MODE_EXPERT)
        assert await answer(client, 5, mode=law_pb2.MODE_SPECULATIVE) == alone


async def test_where_it_does_not_pay_the_router_lets_the_expert_go_on_alone(net: Network) -> None:
    """A round trip of ten passes of the expert; the tokens are the same."""
    async with connected(net.router, plain=True) as client:
        net.link.jitter_s, net.link.latency_s = 0.0, 0.015
        fields: dict[str, Any] = {
            "mode": law_pb2.MODE_SPECULATIVE,
            "prompt": [9, 9],
            "max_tokens": 200,
        }
        speculated = await client.generate(**fields)
        result = await client.generate(**fields, allow_expert_alone=True)
        assert result.ids == speculated.ids
        stats = result.finished.statistics
        assert stats.tokens_by_origin["ORIGIN_EXPERT"] > 100
        assert "does not pay" in stats.alone_reasons[0]
        assert not any(token.alone for token in result.tokens), "the law is the same"


@pytest.fixture(scope="module")
def slow_with_many() -> Iterator[Network]:
    """The expert takes 4 ms for each token fed beside 3: what many verify together takes long."""
    with network(Times(0.5, 3.0), agreement=0.8, expert_token_ms=4.0) as net:
        yield net


async def test_an_overloaded_expert_goes_on_alone(slow_with_many: Network) -> None:
    """One session gains by blocks; many do not, and say the same tokens."""
    fields: dict[str, Any] = {"mode": law_pb2.MODE_SPECULATIVE, "max_tokens": 100}
    prompts = [[9, i] for i in range(12)]
    async with connected(slow_with_many.router, plain=True) as client:
        found = await asyncio.gather(
            *(client.generate(prompt=p, allow_expert_alone=True, **fields) for p in prompts)
        )
        expert = {**fields, "mode": law_pb2.MODE_EXPERT}
        said = await asyncio.gather(*(client.generate(prompt=p, **expert) for p in prompts))
    assert [result.ids for result in found] == [result.ids for result in said]
    tokens = sum(len(result.ids) for result in found)
    alone = sum(r.finished.statistics.tokens_by_origin["ORIGIN_EXPERT"] for r in found)
    assert alone > tokens / 2
    assert any("does not pay" in why for r in found for why in r.finished.statistics.alone_reasons)


async def test_a_connection_that_is_reset_ends_the_answer_with_unavailable(net: Network) -> None:
    """And the next one goes through."""
    net.link.latency_s = net.link.jitter_s = 0.0
    with Relay(net.router) as relay:
        async with connected(relay.address, plain=True) as client:
            call = client.stub.Generate(make_request(prompt=[1, 2], max_tokens=3000))
            await call.read()
            relay.reset()
            assert await call.code() == grpc.StatusCode.UNAVAILABLE
        # On a connection of its own: the old one's channel may not know yet that it is gone.
        async with connected(relay.address, plain=True) as client:
            result = await client.generate(prompt=[1, 2], max_tokens=5)
            assert len(result.tokens) == 5


def test_the_fallback_bench_changes_the_expert_between_sessions() -> None:
    with running(Times(0.5, 3.0), [0.1, 0.9]) as (bench, new_router):
        rates = []
        for agreement in (0.1, 0.9):
            bench.agree(agreement)
            new_router()  # one that has not found out that speculation does not pay
            session = bench.session(law_pb2.MODE_SPECULATIVE, TOKENS, seed=1)
            rates.append(session.statistics.acceptance_rate)
            assert session.per_s > 0
        bench.agree(0.1)  # to a router that goes on
        assert bench.session(law_pb2.MODE_SPECULATIVE, TOKENS, seed=2).per_s > 0
    assert rates[0] < 0.5 < rates[1]


async def test_the_load_bench_counts_what_sessions_make_together(net: Network) -> None:
    net.link.latency_s = net.link.jitter_s = 0.0
    made = [
        await measure(net.router, way, 3, learn_s=0.5, seconds=2.0, seed=0)
        for way in (ALONE, FIXED)
    ]
    assert [one.alone for one in made] == [1.0, 0.0]
    assert all(one.per_s > 0 for one in made)
