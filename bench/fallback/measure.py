"""One session after another, over experts that agree with the drafter more or less often."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cascade.v1 import law_pb2, router_pb2

from bench.errors import ServiceFailed
from bench.network.measure import answer, make_request
from bench.network.predicted import Times
from bench.network.services import simulated
from bench.relay import Link, Relay
from bench.services import service

_START_S = 60.0
_RECONNECT_S, _PAUSE_S = 20.0, 0.5


@dataclass(frozen=True)
class Session:
    """An answer."""

    per_s: float
    """Tokens a second, after the first."""
    statistics: router_pb2.Statistics

    @property
    def alone(self) -> float:
        """Share of its tokens that the expert decoded alone."""
        origins = self.statistics.tokens_by_origin
        return origins["ORIGIN_EXPERT"] / sum(origins.values())


class Bench:
    """Simulated models over a network, with an expert for each agreement."""

    def __init__(self, link: Link, expert: Relay, experts: dict[float, str]) -> None:
        self.link = link
        self._expert = expert
        self._experts = experts
        self.router = ""
        """host:port."""

    def agree(self, agreement: float) -> None:
        """From the next session on the expert is another.

        Raises:
            ServiceFailed: the router does not reach it.
        """
        self._expert.target = self._experts[agreement]
        self._expert.reset()
        if self.router:
            self._await_expert()

    def _await_expert(self) -> None:
        """Until the router, which has lost its only expert, has one again."""
        deadline = time.monotonic() + _RECONNECT_S
        while True:
            time.sleep(_PAUSE_S)
            try:
                answer(self.router, make_request(law_pb2.MODE_EXPERT, 1, 0))
            except ServiceFailed:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def session(self, mode: law_pb2.Mode.ValueType, tokens: int, seed: int) -> Session:
        """One answer."""
        first, last, finished = answer(self.router, make_request(mode, tokens, seed))
        rest = finished.usage.completion_tokens - first[1]
        return Session(rest / (last - first[0]), finished.statistics)


@contextmanager
def running(times: Times, agreements: list[float]) -> Iterator[tuple[Bench, Callable[[], None]]]:
    """Starts all models.

    Gives:
        the bench, and what starts a router that knows nothing yet; the first is to be started.

    Raises:
        ServiceFailed: one of them did not start.
    """
    link = Link()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def pod(role: str, agreement: float, step_ms: float) -> str:
            flags = simulated(agreement, 0.6, step_ms)
            name = f"{role}-{agreement:g}"
            started = stack.enter_context(service(folder, name, f"services.{role}", flags))
            return started.address(_START_S)

        drafter = stack.enter_context(Relay(pod("drafter", 0, times.draft_ms), link))
        experts = {a: pod("expert", a, times.pass_ms) for a in agreements}
        expert = stack.enter_context(Relay(experts[agreements[0]], link))
        bench = Bench(link, expert, experts)
        numbers = count()

        def new_router() -> None:
            flags = ["--drafter", drafter.address, "--expert", expert.address]
            name = f"router-{next(numbers)}"
            router = stack.enter_context(service(folder, name, "router", flags))
            bench.router = router.address(_START_S)

        yield bench, new_router
