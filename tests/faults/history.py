"""What every client saw, and the guarantees that it is checked against.

P1  no token is lost, repeated or reordered: what was delivered is the answer, or its beginning
P2  usage equals what was delivered
P3  the law is unchanged: the answer is the one of the same request and seed without faults
P4  every request ends by its deadline
P5  nothing leaks: all slots are free afterwards
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from cascade.v1 import law_pb2, model_pb2, model_pb2_grpc, router_pb2

from tests.client import Client, make_request

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Spec:
    """A request of the load."""

    mode: int
    temperature: float
    seed: int

    def request(self) -> router_pb2.GenerateRequest:
        """What is sent."""
        return make_request(
            prompt=f"def f{self.seed}(x",
            mode=self.mode,
            temperature=self.temperature,
            seed=self.seed,
            max_tokens=24 + 8 * (self.seed % 3),
            ignore_end_tokens=True,
        )


SPECS = [
    Spec(mode, temperature, seed)
    for seed, mode, temperature in itertools.product(
        (1, 2), [mode for mode in law_pb2.Mode.values() if mode], (0.0, 1.0)
    )
]
"""Every mode, greedy and not."""


@dataclass
class Answer:
    """What a client saw of one request."""

    spec: Spec
    began: float
    ended: float = 0.0
    ids: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    """When tokens came, one entry for each response that brought any."""
    finished: router_pb2.Finished | None = None
    error: str = ""


async def ask(client: Client, spec: Spec) -> Answer:
    """One request, recorded."""
    answer = Answer(spec, time.monotonic())
    try:
        async for event in client.stub.Generate(spec.request(), timeout=TIMEOUT_S):
            if event.tokens.tokens:
                answer.ids += [token.id for token in event.tokens.tokens]
                answer.arrivals.append(time.monotonic())
            if event.HasField("finished"):
                answer.finished = event.finished
    except grpc.aio.AioRpcError as error:
        answer.error = f"{error.code().name}: {error.details()}"
    answer.ended = time.monotonic()
    return answer


class Load:
    """Clients that ask one request after the other, until they are told to stop."""

    def __init__(self, client: Client, at_once: int) -> None:
        self.history: list[Answer] = []
        self.running = 0
        self._client = client
        self._specs = itertools.cycle(SPECS)
        self._stopping = False
        self._clients = [asyncio.create_task(self._run()) for _ in range(at_once)]

    async def _run(self) -> None:
        while not self._stopping:
            self.running += 1
            self.history.append(await ask(self._client, next(self._specs)))
            self.running -= 1

    async def stop(self) -> list[Answer]:
        """Lets all requests end; what became of them."""
        self._stopping = True
        await asyncio.gather(*self._clients)
        return self.history


def check(history: Sequence[Answer], undisturbed: Mapping[Spec, list[int]]) -> None:
    """P1 to P4.  With one fault at a time and pods to spare, every request succeeds."""
    for answer in history:
        expected = undisturbed[answer.spec]
        assert answer.ids == expected[: len(answer.ids)], f"P1, P3: {answer}"
        assert answer.ended - answer.began < TIMEOUT_S, f"P4: {answer.spec}"
        assert not answer.error, f"{answer.error}: {answer.spec}"
        assert answer.finished is not None, f"P4: no end: {answer.spec}"
        assert answer.finished.usage.completion_tokens == len(answer.ids), f"P2: {answer}"
        assert answer.ids == expected, f"P1, P3: {answer.spec}"


def failovers(history: Sequence[Answer]) -> int:
    """How often a session was opened anew."""
    return sum(a.finished.statistics.failovers for a in history if a.finished is not None)


def waits(history: Sequence[Answer], faults: Sequence[float]) -> list[float]:
    """Seconds from a fault to the next token, of each answer that had a session opened anew; the
    longest where several faults fell into one answer.
    """
    found = []
    for answer in history:
        if answer.finished is None or not answer.finished.statistics.failovers:
            continue
        to_next = [
            min(at - fault for at in answer.arrivals if at > fault)
            for fault in faults
            if answer.began < fault < answer.arrivals[-1]
        ]
        if to_next:
            found.append(max(to_next))
    return found


def modes(history: Sequence[Answer]) -> Counter[int]:
    """Answers by mode."""
    return Counter(answer.spec.mode for answer in history)


async def slots_are_free(address: str) -> None:
    """P5: waits until a pod has no session; the test's own limit ends a wait for nothing."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        while True:
            info = await stub.GetModelInfo(model_pb2.GetModelInfoRequest(), wait_for_ready=True)
            if info.slots_free == info.slots_total and not info.sessions_waiting:
                return
            await asyncio.sleep(0.1)
