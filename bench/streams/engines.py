"""Starts what the systems need, as many at a time as the memory holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cascade.v1 import law_pb2, router_pb2

from bench.answer import Answer
from bench.client import Client
from bench.pair import Pair
from bench.peers import llama_cpp, vllm, vllm_server
from bench.peers.http_server import HttpServer
from bench.peers.transformers import Peers
from bench.progress import Bar
from bench.services import running
from bench.streams.systems import ASSISTANCE, MODES, Engine, System

Ask = Callable[[Sequence[Sequence[int]], int], list[Answer]]
"""Asks for answers to prompts, all at once, of at most so many tokens each."""

_BESIDE_BYTES = 2 << 30
"""Of each engine: its processes, its cache, its activations."""


def groups(systems: Sequence[System], pair: Pair, available_bytes: int) -> list[list[System]]:
    """The systems that are in memory at the same time; engines are taken in their order."""
    found: list[list[System]] = []
    left = 0
    for engine in Engine:
        mine = [system for system in systems if system.engine is engine]
        if not mine:
            continue
        needed = _bytes(engine, pair)
        if not found or needed > left:
            found.append([])
            left = available_bytes
        found[-1] += mine
        left -= needed
    return found


def _bytes(engine: Engine, pair: Pair) -> int:
    """What an engine takes, at most about."""
    match engine:
        case Engine.LLAMA_CPP | Engine.LLAMA_CPP_DRAFT:
            files = llama_cpp.files(pair)
            assert files is not None, "only what can answer is measured"
            weights = files.bytes
        case _:
            weights = pair.weights_bytes
    return weights + _BESIDE_BYTES


@contextmanager
def serving(
    systems: Sequence[System], pair: Pair, temperature: float, most_at_once: int, bar: Bar
) -> Iterator[Mapping[System, Ask]]:
    """Starts what the systems need, each without a prefix cache, and stops it in the end.

    The seed of an answer is the number of its prompt among those that are asked at once.

    Raises:
        ServiceFailed: something did not start.
    """
    asks: dict[System, Ask] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for engine in dict.fromkeys(system.engine for system in systems):
            bar.say(f"starting {engine}")
            match engine:
                case Engine.OURS:
                    router = stack.enter_context(running(pair, pod_flags=("--no-share-prefixes",)))
                    client = stack.enter_context(Client(router))
                    asks |= {s: _ours(client, mode, temperature) for s, mode in MODES.items()}
                case Engine.TRANSFORMERS:
                    peers = Peers(pair)
                    asks |= {s: _transformers(peers, s, temperature) for s in ASSISTANCE}
                case Engine.VLLM | Engine.VLLM_DRAFT:
                    drafts = engine is Engine.VLLM_DRAFT
                    theirs = stack.enter_context(vllm.running(pair, folder, drafts=drafts))
                    system = System.VLLM_DRAFT if drafts else System.VLLM
                    asks[system] = _peer(theirs, temperature)
                case Engine.VLLM_SERVER:
                    served = stack.enter_context(vllm_server.running(pair, folder))
                    asks[System.VLLM_SERVER] = _peer(served, temperature)
                case Engine.LLAMA_CPP | Engine.LLAMA_CPP_DRAFT:
                    drafts = engine is Engine.LLAMA_CPP_DRAFT
                    server = stack.enter_context(
                        llama_cpp.running(pair, folder, drafts=drafts, sessions=most_at_once)
                    )
                    system = System.LLAMA_CPP_DRAFT if drafts else System.LLAMA_CPP
                    asks[system] = _peer(server, temperature)
        yield {system: asks[system] for system in systems}


def _ours(client: Client, mode: law_pb2.Mode.ValueType, temperature: float) -> Ask:
    def ask(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
        def one(numbered: tuple[int, Sequence[int]]) -> Answer:
            seed, prompt = numbered
            return client.answer(
                router_pb2.GenerateRequest(
                    token_ids=law_pb2.TokenIds(ids=prompt),
                    mode=mode,
                    temperature=temperature,
                    seed=seed,
                    max_tokens=max_tokens,
                )
            )

        with ThreadPoolExecutor(len(prompts)) as threads:
            return list(threads.map(one, enumerate(prompts)))

    return ask


def _transformers(peers: Peers, system: System, temperature: float) -> Ask:
    def ask(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
        return [
            peers.answer(ASSISTANCE[system], prompt, max_tokens, temperature=temperature, seed=seed)
            for seed, prompt in enumerate(prompts)
        ]

    return ask


def _peer(peer: vllm.Vllm | HttpServer, temperature: float) -> Ask:
    def ask(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
        return peer.answers(prompts, max_tokens, temperature)

    return ask
