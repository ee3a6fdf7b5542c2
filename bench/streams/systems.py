"""The systems that are compared, and how each is asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from cascade.v1 import law_pb2, router_pb2

from bench.answer import Answer
from bench.client import Client
from bench.pair import Pair
from bench.peers import vllm
from bench.progress import Bar
from bench.services import running


class System(StrEnum):
    """Who answers; its value is its name on the command line."""

    EXPERT = "expert"
    SPECULATIVE = "speculative"
    CASCADE = "cascade"
    VLLM = "vllm"
    VLLM_DRAFT = "vllm-draft"

    @property
    def label(self) -> str:
        """What a report calls it."""
        return _LABELS[self]


_LABELS = {
    System.EXPERT: "ours, EXPERT",
    System.SPECULATIVE: "ours, SPECULATIVE",
    System.CASCADE: "ours, SPECULATIVE_CASCADE",
    System.VLLM: "vLLM, expert alone",
    System.VLLM_DRAFT: "vLLM, with its draft model",
}

MODES: dict[System, law_pb2.Mode.ValueType] = {
    System.EXPERT: law_pb2.MODE_EXPERT,
    System.SPECULATIVE: law_pb2.MODE_SPECULATIVE,
    System.CASCADE: law_pb2.MODE_SPECULATIVE_CASCADE,
}

Ask = Callable[[Sequence[Sequence[int]], int], list[Answer]]
"""Asks for greedy answers to prompts, all at once, of at most so many tokens each."""


@contextmanager
def serving(systems: Sequence[System], pair: Pair, bar: Bar) -> Iterator[Mapping[System, Ask]]:
    """Starts what the systems need, each without a prefix cache, and stops it in the end.

    Raises:
        ServiceFailed: something did not start.
    """
    asks: dict[System, Ask] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        if set(systems) & set(MODES):
            bar.say("starting the services")
            router = stack.enter_context(running(pair, pod_flags=("--no-share-prefixes",)))
            client = stack.enter_context(Client(router))
            asks |= {system: _asking(client, mode) for system, mode in MODES.items()}
        for system, drafts in ((System.VLLM, False), (System.VLLM_DRAFT, True)):
            if system in systems:
                bar.say(f"starting {system.label}")
                asks[system] = stack.enter_context(
                    vllm.running(pair, folder, drafts=drafts)
                ).answers
        yield {system: asks[system] for system in systems}


def _asking(client: Client, mode: law_pb2.Mode.ValueType) -> Ask:
    def ask(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
        def one(prompt: Sequence[int]) -> Answer:
            return client.answer(
                router_pb2.GenerateRequest(
                    token_ids=law_pb2.TokenIds(ids=prompt),
                    mode=mode,
                    temperature=0.0,
                    max_tokens=max_tokens,
                )
            )

        with ThreadPoolExecutor(len(prompts)) as threads:
            return list(threads.map(one, prompts))

    return ask
