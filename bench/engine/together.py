"""Sessions at once, through the services: their decode rate beside that of one."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from bench.errors import ServiceFailed
from bench.progress import Bar
from bench.prompts import Prompt
from services.serving.options import CHANNEL_OPTIONS

SESSIONS = 8


@dataclass(frozen=True)
class Case:
    """A mode on a pair."""

    name: str
    mode: law_pb2.Mode.ValueType
    drafter_weights: str
    limit: float
    """How many times the rate of one session has to come out."""
    allow_expert_alone: bool = True
    """Whether the router may let the expert go on alone, as it does unless told otherwise."""


@dataclass
class Rates:
    """Tokens a second, of each repeat."""

    case: Case
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    """All sessions' together."""


def measure(
    address: str,
    case: Case,
    prompts: Sequence[Prompt],
    max_tokens: int,
    repeats: int,
    into: Rates,
    bar: Bar,
) -> None:
    """One session and several in turn, after one of each that is left out."""
    for repeat in range(-1, repeats):
        bar.say(f"{case.name}: {'warming up' if repeat < 0 else 'measuring'}")
        first = (repeat + 1) % len(prompts)
        alone = _rate(address, case, [prompts[first]], max_tokens)
        turned = [prompts[(first + i) % len(prompts)] for i in range(SESSIONS)]
        together = _rate(address, case, turned, max_tokens)
        if repeat >= 0:
            into.alone.append(alone)
            into.together.append(together)
            bar.advance()


def _rate(address: str, case: Case, prompts: Sequence[Prompt], max_tokens: int) -> float:
    """Tokens a second while all sessions decode: none is at its prompt, and none has ended."""
    arrivals: list[list[float]] = [[] for _ in prompts]
    errors: list[grpc.RpcError] = []

    def ask(index: int) -> None:
        request = router_pb2.GenerateRequest(
            token_ids=law_pb2.TokenIds(ids=prompts[index].token_ids),
            mode=case.mode,
            temperature=0.0,
            max_tokens=max_tokens,
            ignore_end_tokens=True,
            allow_expert_alone=case.allow_expert_alone,
        )
        try:
            for response in stub.Generate(request):
                now = time.perf_counter()
                arrivals[index] += [now] * len(response.tokens.tokens)
        except grpc.RpcError as error:
            errors.append(error)

    with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise ServiceFailed(f"Generate: {errors[0]}")
    start = max(times[0] for times in arrivals)
    end = min(times[-1] for times in arrivals)
    if end <= start:
        raise ServiceFailed("an answer ended before another began: give more tokens")
    return sum(sum(start < t <= end for t in times) for times in arrivals) / (end - start)
