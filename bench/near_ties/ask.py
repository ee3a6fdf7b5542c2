"""Asks the services for answers that should be equal."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import law_pb2, router_pb2

from bench.client import Client
from bench.near_ties.compare import Comparison
from bench.progress import Bar
from bench.prompts import Prompt

BLOCK_LENGTHS = (1, 3, 7)
MODES: tuple[law_pb2.Mode.ValueType, ...] = (
    law_pb2.MODE_DRAFTER,
    law_pb2.MODE_EXPERT,
    law_pb2.MODE_SPECULATIVE,
    law_pb2.MODE_SPECULATIVE_CASCADE,
)


@dataclass(frozen=True)
class Sampling:
    """What the answers of a run share."""

    max_tokens: int
    temperature: float
    seed: int


def request(
    prompt: Prompt,
    mode: law_pb2.Mode.ValueType,
    sampling: Sampling,
    block_length: int | None = None,
) -> router_pb2.GenerateRequest:
    """A request; what is not named is the router's default."""
    return router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=prompt.token_ids),
        mode=mode,
        temperature=sampling.temperature,
        seed=sampling.seed,
        max_tokens=sampling.max_tokens,
        block_length=block_length,
        allow_expert_alone=False,
    )


def greedy(
    client: Client,
    prompts: Sequence[Prompt],
    max_tokens: int,
    block_length: int | None,
    bar: Bar,
) -> list[Comparison]:
    """SPECULATIVE against EXPERT, greedy, one comparison for each prompt."""
    sampling = Sampling(max_tokens, temperature=0.0, seed=0)
    comparisons = []
    for prompt in prompts:
        bar.say(f"{prompt.name}: EXPERT")
        one = client.answer(request(prompt, law_pb2.MODE_EXPERT, sampling))
        bar.advance()
        bar.say(f"{prompt.name}: SPECULATIVE")
        other = client.answer(request(prompt, law_pb2.MODE_SPECULATIVE, sampling, block_length))
        bar.advance()
        comparisons.append(Comparison.of(prompt, one, other))
    return comparisons


Seeded = dict[tuple[law_pb2.Mode.ValueType, int], list[Comparison]]
"""By mode and block length, one comparison with the first block length for each prompt."""


def seeded(client: Client, prompts: Sequence[Prompt], sampling: Sampling, bar: Bar) -> Seeded:
    """Each mode at block length 3 and 7 against itself at 1, with the same seed."""
    first, *others = BLOCK_LENGTHS
    comparisons: Seeded = {(mode, length): [] for mode in MODES for length in others}
    for prompt in prompts:
        for mode in MODES:
            bar.say(f"{prompt.name}: {law_pb2.Mode.Name(mode).removeprefix('MODE_')}")
            one = client.answer(request(prompt, mode, sampling, first))
            bar.advance()
            for length in others:
                other = client.answer(request(prompt, mode, sampling, length))
                comparisons[mode, length].append(Comparison.of(prompt, one, other))
                bar.advance()
    return comparisons
