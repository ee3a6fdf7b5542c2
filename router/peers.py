"""The router's two peers: reached, known, and found to fit together."""

import asyncio
import time
from dataclasses import dataclass

import grpc
import structlog
from cascade.v1 import model_pb2 as pb
from cascade.v1 import model_pb2_grpc

from router.text import Tokenizer
from services.errors import PairMismatch, PeerLost
from services.serving.channels import PLAIN, ClientTls, open_channel

log = structlog.get_logger()

_RETRY_S = 0.5
_CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Peer:
    """A drafter or an expert that answered."""

    address: str
    channel: grpc.aio.Channel
    info: pb.GetModelInfoResponse


@dataclass(frozen=True)
class Pair:
    """A drafter and an expert that fit together, and the tokenizer of both."""

    drafter: Peer
    expert: Peer
    tokenizer: Tokenizer

    @property
    def end_token_ids(self) -> frozenset[int]:
        """The union of both models' end tokens."""
        return frozenset(self.drafter.info.end_token_ids) | frozenset(
            self.expert.info.end_token_ids
        )

    @property
    def context_length(self) -> int:
        """What both models can hold."""
        return min(self.drafter.info.context_length, self.expert.info.context_length)

    async def close(self) -> None:
        """Closes both channels."""
        await self.drafter.channel.close()
        await self.expert.channel.close()


async def connect(
    address: str, role: pb.Role.ValueType, timeout_s: float, tls: ClientTls = PLAIN
) -> Peer:
    """Waits until a peer answers.

    Raises:
        PeerLost: it did not within ``timeout_s``.
        PairMismatch: it has another role.
    """
    name = pb.Role.Name(role).removeprefix("ROLE_").lower()
    channel = open_channel(address, tls)
    stub = model_pb2_grpc.ModelServiceStub(channel)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            info = await stub.GetModelInfo(
                pb.GetModelInfoRequest(), timeout=max(deadline - time.monotonic(), _RETRY_S)
            )
            break
        except grpc.aio.AioRpcError as error:
            if time.monotonic() >= deadline:
                await channel.close()
                raise PeerLost(
                    f"no {name} at {address} within {timeout_s:g} s: {error.details()}"
                ) from error
            await asyncio.sleep(_RETRY_S)
    if info.role != role:
        await channel.close()
        other = pb.Role.Name(info.role).removeprefix("ROLE_").lower()
        raise PairMismatch(f"{address} is to be the {name}, but it is the {other}")
    log.info("peer", role=name, address=address, model=info.model, dtype=info.dtype)
    return Peer(address, channel, info)


def check_fit(drafter: pb.GetModelInfoResponse, expert: pb.GetModelInfoResponse) -> None:
    """Refuses two models whose tokenizers differ in anything.

    Raises:
        PairMismatch: saying in what.
    """
    if drafter.tokenizer_fingerprint == expert.tokenizer_fingerprint:
        return
    sizes = (drafter.vocabulary_size, expert.vocabulary_size)
    why = (
        f"{sizes[0]} and {sizes[1]} entries"
        if sizes[0] != sizes[1]
        else f"{sizes[0]} entries each, but not the same ones"
    )
    raise PairMismatch(
        f"drafter {drafter.model} and expert {expert.model} have different tokenizers "
        f"({why}; fingerprints {drafter.tokenizer_fingerprint[:12]} and "
        f"{expert.tokenizer_fingerprint[:12]}): they can't serve as a pair"
    )


async def connect_pair(drafter: str, expert: str, timeout_s: float, tls: ClientTls = PLAIN) -> Pair:
    """Reaches both peers, checks that they fit, and takes the tokenizer from the expert.

    Raises:
        PeerLost: one of them does not answer.
        PairMismatch: they do not fit together.
    """
    first, second = await asyncio.gather(
        connect(drafter, pb.ROLE_DRAFTER, timeout_s, tls),
        connect(expert, pb.ROLE_EXPERT, timeout_s, tls),
    )
    check_fit(first.info, second.info)
    return Pair(first, second, await _tokenizer(second))


async def _tokenizer(peer: Peer) -> Tokenizer:
    stub = model_pb2_grpc.ModelServiceStub(peer.channel)
    parts: list[bytes] = []
    template, special = "", dict[str, str]()
    try:
        async for part in stub.GetTokenizer(pb.GetTokenizerRequest(), timeout=_CALL_TIMEOUT_S):
            if not parts:
                template, special = part.chat_template, dict(part.special_tokens)
            parts.append(part.tokenizer_json_part)
    except grpc.aio.AioRpcError as error:
        raise PeerLost(f"{peer.address} gave no tokenizer: {error.details()}") from error
    return Tokenizer(b"".join(parts), template or None, special)
