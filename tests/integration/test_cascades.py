"""The cascades that go one after the other, coupling, and what a client learns, over the wire."""

import asyncio
import math
import pydoc_data.topics
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cascade.v1 import expert_pb2, law_pb2
from safetensors.torch import load_file, save_file

from tests.client import Client, Result, connected, make_request
from tests.laws.laws import CELLS, Cell, request_fields
from tests.laws.tiny import logits
from tests.oracle.distribution import Scaling, drafted, scaled, softmax
from tests.oracle.rules import Position, known_q1, target, tv
from tests.services import TINY, Services, running

TEXTS = sorted(pydoc_data.topics.topics.values())
PROMPTS = [list(" ".join(text.split())[:30].encode()) for text in TEXTS[:50]]
SEQUENCE = law_pb2.MODE_SEQUENCE_CASCADE
LOSSLESS = Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS)
COUPLED = Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS, coupled=True)


def overlap(seed: int) -> dict[str, int]:
    """Another for each seed."""
    return {"draft_ahead": seed % 3, "alternatives": seed % 4 if seed % 3 else 0}


@pytest.fixture
async def client(tiny_services: Services) -> AsyncIterator[Client]:
    async with connected(tiny_services.address) as client:
        yield client


def origins(result: Result) -> set[str]:
    return {expert_pb2.Origin.Name(t.origin).removeprefix("ORIGIN_").lower() for t in result.tokens}


async def test_coupled_answers_equal_the_experts(
    tiny_services: Services, client: Client, tmp_path: Path
) -> None:
    """500 answers at temperature 1, blocks of 1 to 8; then with another drafter."""
    free = asyncio.Semaphore(16)

    async def answer(one: Client, seed: int, **fields: Any) -> list[int]:
        async with free:
            result = await one.generate(
                prompt=PROMPTS[seed % 50], temperature=1.0, max_tokens=16, seed=seed, **fields
            )
        return result.ids

    coupled = {"mode": law_pb2.MODE_SPECULATIVE, "coupling": law_pb2.COUPLING_GUMBEL}
    seeds = range(500)
    own = await asyncio.gather(*(answer(client, s, mode=law_pb2.MODE_EXPERT) for s in seeds))
    ours = await asyncio.gather(
        *(answer(client, s, block_length=1 + s % 8, **overlap(s), **coupled) for s in seeds)
    )
    assert ours == own
    other = tmp_path / "drafter"
    shutil.copytree(TINY / "drafter", other)
    weights = load_file(other / "model.safetensors")
    generator = torch.Generator().manual_seed(1)
    for name, weight in weights.items():
        noise = torch.randn(weight.shape, generator=generator) * weight.float().std() * 0.3
        weights[name] = weight + noise.to(weight.dtype)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with running(tmp_path, drafter=other) as services:
        async with connected(services.address) as swapped:
            others = await asyncio.gather(
                *(answer(swapped, s, block_length=1 + s % 8, **coupled) for s in seeds[:100])
            )
    assert others == own[:100]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_the_sequence_cascade_is_one_of_two_whole_answers(
    client: Client, temperature: float
) -> None:
    """The drafter's or the expert's; at alpha 0 never the drafter's, at 1 always."""
    common: dict[str, Any] = {"temperature": temperature, "seed": 4, "max_tokens": 24}
    between = 0.58 if temperature == 0 else 0.8
    chosen = set()
    for prompt in PROMPTS[:10]:
        drafter, expert = [
            (await client.generate(prompt=prompt, mode=mode, **common)).ids
            for mode in (law_pb2.MODE_DRAFTER, law_pb2.MODE_EXPERT)
        ]
        for alpha, expected in ((0.0, [expert]), (1.0, [drafter]), (between, [drafter, expert])):
            result = await client.generate(prompt=prompt, mode=SEQUENCE, alpha=alpha, **common)
            assert result.ids in expected
            assert not any(token.alone for token in result.tokens), "that is the mode's own law"
            stats = result.finished.statistics
            if result.ids == drafter != expert:
                assert origins(result) == {"drafter"}
                assert (stats.expert_calls, stats.expert_tokens) == (0, 0)
            else:
                assert stats.expert_tokens > 0
            if alpha == between:
                chosen.add(result.ids == drafter)
            assert not stats.HasField("distance") or temperature == 0
            assert stats.may_change_expert_law
    assert chosen == {True, False}, "one of the two only"


async def test_nothing_of_the_drafters_is_streamed_before_the_decision(client: Client) -> None:
    """A kept answer comes whole; a deferred one holds no token of the drafter's."""
    for alpha in (1.0, 0.0):
        request = make_request(
            prompt=PROMPTS[0],
            mode=SEQUENCE,
            alpha=alpha,
            temperature=1.0,
            seed=1,
            max_tokens=30,
            ignore_end_tokens=True,
        )
        pieces = [
            event.tokens.tokens
            async for event in client.stub.Generate(request)
            if event.HasField("tokens")
        ]
        assert len(pieces) == (1 if alpha == 1.0 else 30)
        word = expert_pb2.ORIGIN_DRAFTER if alpha == 1.0 else expert_pb2.ORIGIN_EXPERT
        assert {token.origin for piece in pieces for token in piece} == {word}


async def test_a_stop_string_ends_what_the_drafter_is_judged_by(client: Client) -> None:
    """The same answer as without the sequence cascade, and its tokens are counted."""
    common: dict[str, Any] = {"prompt": PROMPTS[1], "max_tokens": 60, "stop_strings": ["e"]}
    drafter = await client.generate(mode=law_pb2.MODE_DRAFTER, **common)
    kept = await client.generate(mode=SEQUENCE, alpha=1.0, **common)
    assert kept.text == drafter.text
    assert kept.finished.stop_string == "e"
    assert kept.finished.statistics.drafter_tokens < len(PROMPTS[1]) + 60


async def test_the_token_cascade_asks_for_deferred_tokens_alone(client: Client) -> None:
    """Deferred tokens and calls of the expert are as many; it sees each token once."""
    shares = []
    for alpha in (0.0, 0.4, 0.7, 1.0):
        result = await client.generate(
            prompt=PROMPTS[2],
            mode=law_pb2.MODE_TOKEN_CASCADE,
            alpha=alpha,
            temperature=1.0,
            seed=6,
            max_tokens=40,
            ignore_end_tokens=True,
        )
        stats = result.finished.statistics
        deferred = stats.tokens_by_origin["ORIGIN_DEFERRED"]
        assert stats.expert_calls == deferred
        assert stats.expert_tokens <= len(PROMPTS[2]) + 40
        assert deferred + stats.tokens_by_origin["ORIGIN_DRAFTER"] == 40
        assert not stats.HasField("distance")
        shares.append(deferred)
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[1] > shares[-1] == 0


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_log_probabilities_are_the_oracles_or_absent(
    client: Client, cell: Cell, temperature: float
) -> None:
    """Of every token, under q, p and pi; and the distance that follows from them."""
    law = cell.law(temperature, seed=9)
    fields: dict[str, Any] = request_fields(law)
    prompt = PROMPTS[4]
    result = await client.generate(
        prompt=prompt, max_tokens=24, ignore_end_tokens=True, log_probs=True, **fields
    )
    plain = await client.generate(prompt=prompt, max_tokens=24, ignore_end_tokens=True, **fields)
    assert plain.ids == result.ids, "asking for log-probabilities changes no token"
    assert not any(t.HasField("log_probs") for t in plain.tokens)
    whole = prompt + [t.id for t in result.tokens]
    rows = {name: logits(name, whole).tolist() for name in ("drafter", "expert")}
    distances: list[float] = []
    known = set()
    for t, token in enumerate(result.tokens, start=len(prompt) - 1):
        drafters, experts = rows["drafter"][t], rows["expert"][t]
        scaling = Scaling(temperature)
        at = Position(
            softmax(drafters),
            softmax(experts),
            drafted(drafters, scaling, law.candidates),
            scaled(experts, scaling),
        )
        origin = token.origin
        expected = {"drafter": at.q[token.id], "expert": at.p[token.id]}
        speculative = law.mode in (law_pb2.MODE_SPECULATIVE, law_pb2.MODE_SPECULATIVE_CASCADE)
        if speculative:
            seen = at
            if law.rule == law_pb2.RULE_TOKEN_V1 and not cell.gate:
                seen = Position(known_q1(at, temperature), at.p1, at.q, at.p)
            name = law_pb2.Rule.Name(law.rule).removeprefix("RULE_").lower()
            pi = target(name, law.alpha, seen)
            expected["target"] = pi[token.id]
            if origin != expert_pb2.ORIGIN_BONUS:
                distances.append(tv(pi, at.p))
        elif origin == expert_pb2.ORIGIN_DRAFTER:
            expected["target"] = expected["drafter"]
        else:
            expected["target"] = expected["expert"]
        for field, value in token.log_probs.ListFields():
            known.add(field.name)
            chance = expected[field.name]
            assert math.exp(value) == pytest.approx(chance, rel=2e-3, abs=1e-6), field.name
    q_crosses = temperature == 0 or not (cell.gate or cell.coupled)
    if law.mode == law_pb2.MODE_SPECULATIVE or (speculative and q_crosses):
        assert known == {"drafter", "expert", "target"}
    stats = result.finished.statistics
    if speculative and q_crosses:
        assert stats.distance == pytest.approx(sum(distances) / len(distances), abs=1e-4)
    elif cell == COUPLED:
        assert stats.distance == 0
    elif speculative and cell.rule in (law_pb2.RULE_OPT, law_pb2.RULE_BILD):
        assert stats.HasField("distance"), "their candidates cross in every form"
    else:
        assert not stats.HasField("distance") or temperature == 0


async def test_echo_prompt(client: Client) -> None:
    text = "The value"
    told = await client.generate(prompt=text, max_tokens=1, echo_prompt=True)
    assert list(told.started.prompt_token_ids) == list(text.encode())
    assert len((await client.generate(prompt=text, max_tokens=1)).started.prompt_token_ids) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1.0, "coupling": law_pb2.COUPLING_GUMBEL},
        {"temperature": 1.0, "form": law_pb2.FORM_GATE},
        {"temperature": 0.0, "rule": law_pb2.RULE_CHOW_LOG},
    ],
)
async def test_chow_is_the_same_on_one_model_after_the_other(
    client: Client, fields: dict[str, Any]
) -> None:
    """The router has two ways and takes both: by measured times, one answer in 16 the other."""
    fields = {"mode": law_pb2.MODE_SPECULATIVE_CASCADE, "rule": law_pb2.RULE_CHOW, **fields}

    async def answer(seed: int, **more: Any) -> Result:
        return await client.generate(
            prompt=PROMPTS[seed], seed=seed, max_tokens=24, **more, **fields
        )

    ways = set()
    for seed in range(20):
        chosen = await answer(seed)
        speculative = await answer(seed, block_length=3)
        assert chosen.ids == speculative.ids, seed
        assert not speculative.finished.statistics.as_token_cascade
        ways.add(chosen.finished.statistics.as_token_cascade)
    assert ways == {True, False}
