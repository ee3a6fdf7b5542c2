"""So many answers at a time, one after another, and the tokens that arrive in a while."""

from dataclasses import dataclass

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from bench.clients import running
from bench.errors import ServiceFailed
from services.serving.options import CHANNEL_OPTIONS

FIXED_LENGTH = 5
TOKENS = 128
"""Of an answer."""


@dataclass(frozen=True)
class Way:
    """How answers are made."""

    name: str
    mode: law_pb2.Mode.ValueType = law_pb2.MODE_SPECULATIVE
    block_length: int | None = None
    """None: the router chooses it, and may let the expert go on alone."""

    def request(self, seed: int) -> router_pb2.GenerateRequest:
        """Greedy, so that all ways make the same tokens."""
        request = router_pb2.GenerateRequest(
            token_ids=law_pb2.TokenIds(ids=[seed % 256, seed // 256 % 256, 1, 2]),
            mode=self.mode,
            max_tokens=TOKENS,
        )
        if self.block_length is not None:
            request.block_length, request.allow_expert_alone = self.block_length, False
        return request


ALONE = Way("the expert alone", mode=law_pb2.MODE_EXPERT)
FIXED = Way(f"blocks of {FIXED_LENGTH}", block_length=FIXED_LENGTH)
CHOSEN = Way("the router's choice")
WAYS = (ALONE, FIXED, CHOSEN)


@dataclass(frozen=True)
class Made:
    """What sessions made together."""

    per_s: float
    """Tokens a second."""
    alone: float
    """Share of the tokens of the answers that ended, which the expert decoded alone."""


@dataclass
class _Counted:
    tokens: int = 0
    ended: int = 0
    """Tokens of the answers that have ended."""
    alone: int = 0
    """Those of them that the expert decoded alone."""


async def measure(
    address: str, way: Way, sessions: int, *, learn_s: float, seconds: float, seed: int
) -> Made:
    """Tokens a second of so many sessions, after a while that is not counted.

    Args:
        address: the router's.
        way: of all of them.
        sessions: at a time.
        learn_s: not counted.
        seconds: counted.
        seed: of the first answer; each has another.

    Raises:
        ServiceFailed: a call failed.
    """
    counted = _Counted()
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)

        async def client(first: int) -> None:
            number = first
            while True:
                await _answer(stub, way.request(number), counted)
                number += sessions

        async with running(client(seed + i) for i in range(sessions)) as clients:
            await clients.run(learn_s)
            counted.tokens = counted.ended = counted.alone = 0
            await clients.run(seconds)
            per_s = counted.tokens / seconds
    return Made(per_s, counted.alone / max(counted.ended, 1))


async def _answer(
    stub: "router_pb2_grpc.RouterServiceAsyncStub",
    request: router_pb2.GenerateRequest,
    counted: _Counted,
) -> None:
    try:
        async for response in stub.Generate(request):
            counted.tokens += len(response.tokens.tokens)
            if response.HasField("finished"):
                origins = response.finished.statistics.tokens_by_origin
                counted.ended += sum(origins.values())
                counted.alone += origins["ORIGIN_EXPERT"]
    except grpc.aio.AioRpcError as error:
        raise ServiceFailed(f"Generate: {error.code().name}: {error.details()}") from error
