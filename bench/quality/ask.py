"""Asks every system every problem, but for what was answered in an earlier run."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from transformers import AutoTokenizer

from bench.answer import Answer
from bench.client import Client
from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.progress import Bar
from bench.prompts import warm_up_prompt
from bench.quality.kept import Kept, KeptAnswer
from bench.quality.problems import Problem
from bench.quality.systems import STOP_STRINGS, System
from bench.services import running
from services.engine.fingerprint import weights_fingerprint

_WARM_UP_TOKENS = 6
_TURN = 5
"""Problems of a system's turn, for each that it is asked at once."""
_NO_SHARING = ("--no-share-prefixes",)
"""Every system is asked the same prompts; none is to find what another left."""

Decode = Callable[[Sequence[int]], str]
Turn = tuple[System, Sequence[Problem]]
"""A system and what it is asked in one go."""


@dataclass(frozen=True)
class Asking:
    """How every system is asked."""

    max_tokens: int
    """Of an answer."""
    at_once: int
    """Problems."""
    chat: bool
    """Whether a problem is a user message, instead of a text that is continued."""


def settings(pair: Pair, asking: Asking) -> dict[str, Any]:
    """All that shapes an answer and its times beside its system and problem.

    So it names the answer where it is kept.
    """
    drafter, expert = (weights_fingerprint(folder) for folder in pair.folders)
    return {
        "drafter": drafter,
        "expert": expert,
        "dtype": pair.dtype,
        "drafter_weights": pair.drafter_weights,
        "expert_weights": pair.expert_weights,
        "temperature": 0,
        **asdict(asking),
        "stop_strings": [] if asking.chat else list(STOP_STRINGS),
    }


def ask(
    systems: Sequence[System],
    pair: Pair,
    problems: Sequence[Problem],
    kept: Kept,
    bar: Bar,
    asking: Asking,
) -> int:
    """Fills ``kept`` with the answers that it lacks; gives how many it had.

    The systems take turns at some problems each, each time beginning with another, so that what an
    interrupted run leaves treats them alike.  Whoever has its turn is asked several problems
    at once, the next as soon as one is answered.  Without anything to ask no service is started.

    Raises:
        ServiceFailed: a service did not start, or failed a request.
    """
    size = _TURN * asking.at_once
    turns = [
        (system, missing)
        for number, start in enumerate(range(0, len(problems), size))
        for system in _rotated(systems, number)
        if (missing := _missing(system, problems[start : start + size], kept))
    ]
    had = len(systems) * len(problems) - sum(len(missing) for _, missing in turns)
    for _ in range(had):
        bar.advance()
    if turns:
        bar.say("starting the services")
        with (
            running(pair, pod_flags=_NO_SHARING) as router,
            Client(router) as client,
            _threads(asking.at_once) as threads,
        ):
            _warm_up(client, turns, pair, bar)
            _answer(client, threads, turns, kept, bar, asking, _decoder(pair))
    return had


def _missing(system: System, problems: Sequence[Problem], kept: Kept) -> list[Problem]:
    return [problem for problem in problems if kept.get(system.name, problem.name) is None]


@contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Interrupted, what has not begun never does; what has ends with its client."""
    threads = ThreadPoolExecutor(number)
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _warm_up(client: Client, turns: Sequence[Turn], pair: Pair, bar: Bar) -> None:
    prompt = warm_up_prompt(pair.expert)
    for system in dict.fromkeys(system for system, _ in turns):
        bar.say(f"warming up: {system.name}")
        request = system.request("", _WARM_UP_TOKENS, chat=True)
        request.token_ids.ids.extend(prompt.token_ids)
        client.answer(request)


def _answer(
    client: Client,
    threads: ThreadPoolExecutor,
    turns: Sequence[Turn],
    kept: Kept,
    bar: Bar,
    asking: Asking,
    decode: Decode,
) -> None:
    for system, missing in turns:
        asked: dict[Future[Answer], Problem] = {
            threads.submit(
                client.answer,
                system.request(problem.prompt, asking.max_tokens, chat=asking.chat),
            ): problem
            for problem in missing
        }
        bar.say(f"{system.name}, from {missing[0].name} on")
        failed: ServiceFailed | None = None
        for answered in as_completed(asked):
            if answered.cancelled():
                continue
            try:
                answer, problem = answered.result(), asked[answered]
            except ServiceFailed as error:
                failed = failed or error
                for other in asked:  # what has begun still counts
                    other.cancel()
                continue
            kept.put(system.name, problem.name, KeptAnswer(answer, decode(answer.token_ids)))
            bar.say(f"{problem.name}: {system.name}")
            bar.advance()
        if failed:
            raise failed


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
