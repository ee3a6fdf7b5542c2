"""A client of the router for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from tests.tls import open_channel


@dataclass(frozen=True)
class Result:
    """A whole answer."""

    started: router_pb2.Started
    tokens: list[router_pb2.GeneratedToken]
    finished: router_pb2.Finished

    @property
    def ids(self) -> list[int]:
        """The tokens, and the end token that is not among them, if one ended the answer."""
        ids = [token.id for token in self.tokens]
        return ids + [self.finished.end_token_id] * self.finished.HasField("end_token_id")

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(token.text for token in self.tokens)


class Client:
    """Speaks to one router."""

    def __init__(self, address: str, *, plain: bool = False) -> None:
        self.channel = grpc.aio.insecure_channel(address) if plain else open_channel(address)
        self.stub = router_pb2_grpc.RouterServiceStub(self.channel)

    async def generate(self, timeout_s: float = 60, **fields: Any) -> Result:
        """One answer; ``fields`` are those of GenerateRequest, ``prompt`` is text or ids."""
        started, finished = None, None
        tokens: list[router_pb2.GeneratedToken] = []
        async for event in self.stub.Generate(make_request(**fields), timeout=timeout_s):
            match event.WhichOneof("event"):
                case "started":
                    started = event.started
                case "tokens":
                    tokens.extend(event.tokens.tokens)
                case "finished":
                    finished = event.finished
        assert started is not None
        assert finished is not None
        return Result(started, tokens, finished)


def make_request(**fields: Any) -> router_pb2.GenerateRequest:
    """A request; ``prompt`` is text or a list of ids.

    Where speculation does not pay, as with tiny models, it goes on all the same: what is tested is
    the answer that the seed determines.
    """
    fields.setdefault("allow_expert_alone", False)
    prompt = fields.pop("prompt", None)
    if isinstance(prompt, str):
        fields["text"] = prompt
    elif prompt is not None:
        fields["token_ids"] = law_pb2.TokenIds(ids=prompt)
    return router_pb2.GenerateRequest(**fields)


@asynccontextmanager
async def connected(address: str, *, plain: bool = False) -> AsyncIterator[Client]:
    """A client whose channel is closed at the end; ``plain``: of services that never have TLS."""
    client = Client(address, plain=plain)
    try:
        yield client
    finally:
        await client.channel.close()
