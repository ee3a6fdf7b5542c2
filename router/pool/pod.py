"""One discovered pod: its channel, what it says of itself, whether it may be given a session."""

import asyncio
import math
import time

import grpc
from cascade.v1 import model_pb2 as pb
from cascade.v1 import model_pb2_grpc

from router.discovery import Endpoint
from router.pool.breaker import Breaker
from router.pool.choice import Load
from services.serving.channels import PLAIN, ClientTls, open_channel
from services.serving.options import Options

_PROBE_S = 1.0
_FAILING_S = 10.0
# A pod that comes back is reached soon.
_RECONNECT: Options = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

Identity = tuple[str, str, str, str, str]
"""Tokenizer, weights, their format, dtype, draft vocabulary: pods that replace each other agree."""


def identity(info: pb.GetModelInfoResponse) -> Identity:
    """Of the model that a pod serves."""
    return (
        info.tokenizer_fingerprint,
        info.weights_fingerprint,
        info.weights,
        info.dtype,
        str(info.draft_vocabulary or "all"),
    )


class Pod:
    """A pod's state, kept by the pool."""

    def __init__(self, endpoint: Endpoint, tls: ClientTls = PLAIN) -> None:
        """Not reached yet."""
        self.endpoint = endpoint
        self.channel = open_channel(endpoint.address, tls, _RECONNECT)
        self.breaker = Breaker()
        self.info: pb.GetModelInfoResponse | None = None
        """What it said last.  None: nothing, since it was last reached."""
        self.serving = False
        """What its health says."""
        self.answers = True
        """Whether it answered when it was last asked."""
        self.refused = ""
        """Why it can't replace the others.  Empty: it can."""
        self.sessions = 0
        """That this router has on it."""
        self.opened = 0
        """Of them, since it told its load."""
        self._failed_at = -math.inf
        self._models = model_pb2_grpc.ModelServiceStub(self.channel)
        self._probe: asyncio.Task[bool] | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return self.endpoint.address

    @property
    def context_length(self) -> int:
        """Tokens of a session that it can hold; 0 while it does not say."""
        return self.info.context_length if self.info else 0

    @property
    def state(self) -> str:
        """For people and metrics: refused, unreachable, draining, left_alone or available."""
        if self.refused:
            return "refused"
        if self.info is None or not self.answers:
            return "unreachable"
        if not self.serving or not self.endpoint.ready:
            return "draining"
        return "available" if self.breaker.allows else "left_alone"

    @property
    def load(self) -> Load:
        """As it told, with what was opened since."""
        assert self.info is not None, "it is available"
        slots = max(self.info.slots_total, 1)
        free = self.info.slots_free - self.opened
        waiting = self.info.sessions_waiting + max(-free, 0)
        failing = time.monotonic() < self._failed_at + _FAILING_S
        return Load(self.address, self.endpoint.zone, slots, max(free, 0), waiting, failing)

    def failed(self) -> None:
        """A step failed on it.  It may be the step's fault: the pod is taken where no other is."""
        self._failed_at = time.monotonic()

    async def ask(self, timeout_s: float) -> pb.GetModelInfoResponse:
        """Its model and its load.

        Raises:
            grpc.aio.AioRpcError: it does not answer.
        """
        return await self._models.GetModelInfo(pb.GetModelInfoRequest(), timeout=timeout_s)

    async def probe(self) -> bool:
        """Whether it answers now, within a second.  All who doubt it share one question."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask_whether())
        return await asyncio.shield(self._probe)

    async def _ask_whether(self) -> bool:
        try:
            await self.ask(_PROBE_S)
        except grpc.aio.AioRpcError:
            self.answers = False
        else:
            self.answers = True
        return self.answers
