"""Sessions over gRPC: one bidirectional stream each."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

import grpc
from cascade.v1 import drafter_pb2, expert_pb2, law_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from router.sessions import DrafterSession, DraftOrder, ExpertSession
from services.errors import PeerLost
from services.serving.status import from_rpc_error

_DRAFT = drafter_pb2.DESCRIPTOR.services_by_name["DrafterService"].methods_by_name["Draft"]
_VERIFY = expert_pb2.DESCRIPTOR.services_by_name["ExpertService"].methods_by_name["Verify"]

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


@dataclass
class Traffic:
    """Bytes of messages of one session: counted as they are written and read, once."""

    up: int = 0
    """To the peer."""
    down: int = 0
    """From it."""

    def written(self, message: Message) -> bytes:
        """A message for the peer, as bytes."""
        data = message.SerializeToString()
        self.up += len(data)
        return data

    def read(self, parse: Callable[[bytes], Res], data: bytes) -> Res:
        """A message of the peer's."""
        self.down += len(data)
        return parse(data)


class _Stream(Generic[Req, Res]):
    """A session's stream to a peer; every failure of the peer is a CascadeError."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        method: MethodDescriptor,
        parse: Callable[[bytes], Res],
        *,
        who: str,
        timeout_s: float | None,
        traffic: Traffic,
    ) -> None:
        """Begins the call of a method; ``traffic``: where its bytes are counted."""
        serialize: Callable[[Req], bytes] = traffic.written
        begin = channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=serialize,
            response_deserializer=partial(traffic.read, parse),
        )
        self._call = begin(timeout=timeout_s)
        self._who = who
        self._step_id = 0
        self.queue_ms = 0.0
        """How long the session waited for its slot."""

    def next_step_id(self) -> int:
        """Ids grow within a session."""
        self._step_id += 1
        return self._step_id

    async def first(self, request: Req) -> Res:
        """Sends the message that opens the session; receives the answer, or closes the stream."""
        try:
            await self.write(request)
            return await self.read()
        except BaseException:
            self.close()
            raise

    async def write(self, request: Req) -> None:
        """Sends a message."""
        try:
            await self._call.write(request)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._who) from error
        except asyncio.InvalidStateError as error:  # the call is over: its status says why
            raise await self._why() from error

    async def read(self) -> Res:
        """Receives a message."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._who) from error
        if response is grpc.aio.EOF:
            raise await self._why()
        return cast(Res, response)

    async def _why(self) -> Exception:
        code, details = await self._call.code(), await self._call.details()
        if code == grpc.StatusCode.OK:
            return PeerLost(f"{self._who} ended the session")
        metadata: Any = grpc.aio.Metadata()
        return from_rpc_error(grpc.aio.AioRpcError(code, metadata, metadata, details), self._who)

    def close(self) -> None:
        """Ends the stream, and so frees the slot."""
        self._call.cancel()


class GrpcDrafterSession(
    _Stream[drafter_pb2.DraftRequest, drafter_pb2.DraftResponse], DrafterSession
):
    """A DrafterSession over DrafterService.Draft."""

    @classmethod
    async def open(
        cls,
        channel: grpc.aio.Channel,
        law: law_pb2.Law,
        end_token_ids: frozenset[int],
        *,
        log_probs: bool,
        timeout_s: float | None,
        traffic: Traffic,
    ) -> "GrpcDrafterSession":
        """Opens the stream and waits for the slot.  ``traffic``: where its bytes are counted.

        Raises:
            CascadeError: no slot, or no peer.
        """
        session = cls(
            channel,
            _DRAFT,
            drafter_pb2.DraftResponse.FromString,
            who="drafter",
            timeout_s=timeout_s,
            traffic=traffic,
        )
        opening = drafter_pb2.OpenDraft(
            law=law, end_token_ids=sorted(end_token_ids), log_probs=log_probs
        )
        first = await session.first(drafter_pb2.DraftRequest(open=opening))
        session.queue_ms = first.opened.queue_ms
        return session

    async def start_draft(self, order: DraftOrder) -> int:
        """See DrafterSession."""
        request = drafter_pb2.DraftRequest()
        step = request.draft
        step.step_id = self.next_step_id()
        step.position = order.position
        step.append.extend(order.append)
        step.max_tokens = order.max_tokens
        step.piece_length = order.piece_length
        step.early_stop = order.early_stop
        step.top_probs = order.top_probs
        step.acceptance.extend(order.acceptance)
        step.least_chance = order.least_chance
        step.alternatives = order.alternatives
        for fork in order.forks:
            step.forks.add(position=fork.position, id=fork.id)
        step.fork_tokens = order.fork_tokens
        step.stop_at_deferral = order.stop_at_deferral
        await self.write(request)
        return step.step_id

    async def piece(self) -> drafter_pb2.DraftedBlock | drafter_pb2.DraftedForks:
        """See DrafterSession."""
        while True:
            response = await self.read()
            result = response.forks if response.HasField("forks") else response.block
            if result.step_id == self._step_id:  # pieces of a superseded step may still come
                return result


class GrpcExpertSession(
    _Stream[expert_pb2.VerifyRequest, expert_pb2.VerifyResponse], ExpertSession
):
    """An ExpertSession over ExpertService.Verify."""

    @classmethod
    async def open(
        cls,
        channel: grpc.aio.Channel,
        law: law_pb2.Law,
        end_token_ids: frozenset[int],
        *,
        log_probs: bool,
        timeout_s: float | None,
        traffic: Traffic,
    ) -> "GrpcExpertSession":
        """Opens the stream and waits for the slot.  ``traffic``: where its bytes are counted.

        Raises:
            CascadeError: no slot, or no peer.
        """
        session = cls(
            channel,
            _VERIFY,
            expert_pb2.VerifyResponse.FromString,
            who="expert",
            timeout_s=timeout_s,
            traffic=traffic,
        )
        opening = expert_pb2.OpenVerify(
            law=law, end_token_ids=sorted(end_token_ids), log_probs=log_probs
        )
        first = await session.first(expert_pb2.VerifyRequest(open=opening))
        session.queue_ms = first.opened.queue_ms
        return session

    async def start_verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> None:
        """See ExpertSession."""
        request = expert_pb2.VerifyRequest()
        step = request.verify  # filled in place: as an argument all of it would be copied once more
        step.step_id = self.next_step_id()
        step.position = position
        step.append.extend(append)
        step.prefix_hash = prefix_hash
        step.block.extend(block)
        await self.write(request)

    async def verdict(self) -> expert_pb2.Verdict:
        """See ExpertSession."""
        while True:
            response = await self.read()
            if response.WhichOneof("result") == "verdict":  # the rest of a decode may still come
                return response.verdict

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncGenerator[expert_pb2.DecodedTokens, None]:
        """See ExpertSession."""
        step = expert_pb2.DecodeStep(
            step_id=self.next_step_id(),
            position=position,
            append=append,
            prefix_hash=prefix_hash,
            max_tokens=max_tokens,
        )
        await self.write(expert_pb2.VerifyRequest(decode=step))
        while True:
            decoded = (await self.read()).decoded
            if decoded.step_id == step.step_id:
                yield decoded
                if decoded.last:
                    return
