"""Measures systems on prompts, those in memory at the same time together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cascade.v1 import law_pb2

from bench.answer import Answer
from bench.client import Client
from bench.pair import Pair
from bench.peers.transformers import Peers
from bench.progress import Bar
from bench.prompts import Prompt
from bench.services import running
from bench.speed.ours import Drafts
from bench.speed.ours import answer as answer_ours
from bench.speed.plan import turns
from bench.speed.systems import ASSISTANCE, System

WARM_UP_TOKENS = 12

NO_SHARING = ("--no-share-prefixes",)
"""transformers keeps nothing of an earlier answer; nor do ours here."""

Ask = Callable[[System, Sequence[int], int], Answer]
"""Asks a system for an answer to a prompt of at most so many tokens."""


@dataclass
class Measured:
    """What was measured."""

    answers: dict[System, dict[str, list[Answer]]] = field(default_factory=dict)
    """Of each system and problem, one for each repeat."""
    laws: dict[int, law_pb2.Law] = field(default_factory=dict)
    """Of each of our modes."""


def measure(
    systems: Sequence[System],
    pair: Pair,
    prompts: Sequence[Prompt],
    warm_up: Prompt,
    bar: Bar,
    into: Measured,
    *,
    max_tokens: int,
    repeats: int,
    drafts: Drafts,
) -> None:
    """Loads what the systems need, warms each up, measures them, and lets go of all.

    Raises:
        ServiceFailed: a service did not start, or failed a request.
    """
    bar.say("loading")
    with _asking(systems, pair, drafts, into) as ask:
        for system in systems:
            bar.say(f"warming up: {system}")
            ask(system, warm_up.token_ids, min(WARM_UP_TOKENS, max_tokens))
        for turn in turns(systems, prompts, repeats):
            bar.say(f"{turn.prompt.name}: {turn.system}")
            answer = ask(turn.system, turn.prompt.token_ids, max_tokens)
            by_problem = into.answers.setdefault(turn.system, {})
            by_problem.setdefault(turn.prompt.name, []).append(answer)
            bar.advance()


@contextmanager
def _asking(systems: Sequence[System], pair: Pair, drafts: Drafts, into: Measured) -> Iterator[Ask]:
    """Whoever answers for these systems."""
    with ExitStack() as stack:
        peers = client = None
        if not all(system.is_ours for system in systems):
            peers = Peers(pair)
        if any(system.is_ours for system in systems):
            client = stack.enter_context(
                Client(stack.enter_context(running(pair, pod_flags=NO_SHARING)))
            )

        def ask(system: System, prompt: Sequence[int], max_tokens: int) -> Answer:
            if system.is_ours:
                assert client is not None, "made above"
                return answer_ours(client, system, prompt, max_tokens, drafts)
            assert peers is not None, "made above"
            return peers.answer(ASSISTANCE[system], prompt, max_tokens)

        yield ask
        if client is not None:
            into.laws.update(client.laws)
