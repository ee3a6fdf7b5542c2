"""Asks every system every problem, but for what was answered in an earlier run."""

from collections.abc import Callable, Sequence
from typing import Any

from transformers import AutoTokenizer

from bench.client import Client
from bench.pair import Pair
from bench.progress import Bar
from bench.prompts import warm_up_prompt
from bench.quality.kept import Kept, KeptAnswer
from bench.quality.problems import Problem
from bench.quality.systems import System
from bench.services import running
from services.engine.fingerprint import weights_fingerprint

_WARM_UP_TOKENS = 12
_NO_SHARING = ("--no-share-prefixes",)
"""Every system is asked the same prompts; none is to find what another left."""

Decode = Callable[[Sequence[int]], str]


def settings(pair: Pair, max_tokens: int) -> dict[str, Any]:
    """All that shapes an answer beside its system and problem, and so names it where it is kept."""
    drafter, expert = (weights_fingerprint(folder) for folder in pair.folders)
    return {
        "drafter": drafter,
        "expert": expert,
        "dtype": pair.dtype,
        "drafter_weights": pair.drafter_weights,
        "expert_weights": pair.expert_weights,
        "temperature": 0,
        "max_tokens": max_tokens,
    }


def ask(
    systems: Sequence[System],
    pair: Pair,
    problems: Sequence[Problem],
    kept: Kept,
    bar: Bar,
    max_tokens: int,
) -> int:
    """Fills ``kept`` with the answers that it lacks; gives how many it had.

    The systems take turns at each problem, each time beginning with another, so that what an
    interrupted run leaves treats them alike.  Without anything to ask no service is started.

    Raises:
        ServiceFailed: a service did not start, or failed a request.
    """
    missing = [
        (system, problem)
        for turn, problem in enumerate(problems)
        for system in _rotated(systems, turn)
        if kept.get(system.name, problem.name) is None
    ]
    had = len(systems) * len(problems) - len(missing)
    for _ in range(had):
        bar.advance()
    if missing:
        bar.say("starting the services")
        with running(pair, pod_flags=_NO_SHARING) as router, Client(router) as client:
            _answer(client, missing, pair, kept, bar, max_tokens)
    return had


def _answer(
    client: Client,
    missing: Sequence[tuple[System, Problem]],
    pair: Pair,
    kept: Kept,
    bar: Bar,
    max_tokens: int,
) -> None:
    decode, warm_up = _decoder(pair), warm_up_prompt(pair.expert)
    for system in dict.fromkeys(system for system, _ in missing):
        bar.say(f"warming up: {system.name}")
        request = system.request("", _WARM_UP_TOKENS)
        request.token_ids.ids.extend(warm_up.token_ids)
        client.answer(request)
    for system, problem in missing:
        bar.say(f"{problem.name}: {system.name}")
        answer = client.answer(system.request(problem.prompt, max_tokens))
        kept.put(system.name, problem.name, KeptAnswer(answer, decode(answer.token_ids)))
        bar.advance()


def _decoder(pair: Pair) -> Decode:
    tokenizer = AutoTokenizer.from_pretrained(pair.expert)

    def decode(token_ids: Sequence[int]) -> str:
        # Spaces before punctuation are the answer's own.
        return str(
            tokenizer.decode(
                list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    return decode


def _rotated(systems: Sequence[System], turn: int) -> list[System]:
    first = turn % len(systems)
    return [*systems[first:], *systems[:first]]
