"""Sessions over gRPC: one bidirectional stream each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import grpc
from cascade.v1 import drafter_pb2, drafter_pb2_grpc, expert_pb2, expert_pb2_grpc, law_pb2
from google.protobuf.message import Message

from router.sessions import DrafterSession, DraftOrder, ExpertSession
from services.errors import PeerLost
from services.serving.status import from_rpc_error


@dataclass
class Traffic:
    """Bytes of messages of one session."""

    up: int = 0
    """To the peer."""
    down: int = 0
    """From it."""


Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


class _Stream(Generic[Req, Res]):
    """A session's stream to a peer; every failure of the peer is a CascadeError."""

    def __init__(
        self, call: "grpc.aio.StreamStreamCall[Req, Res]", who: str, traffic: Traffic | None
    ) -> None:
        self._call = call
        self._who = who
        self._step_id = 0
        self.traffic = traffic or Traffic()
        """Bytes so far."""
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
        self.traffic.up += request.ByteSize()
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
        message = cast(Res, response)
        self.traffic.down += message.ByteSize()
        return message

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
        traffic: Traffic | None = None,
    ) -> "GrpcDrafterSession":
        """Opens the stream and waits for the slot.  ``traffic``: where its bytes are counted.

        Raises:
            CascadeError: no slot, or no peer.
        """
        call = drafter_pb2_grpc.DrafterServiceStub(channel).Draft(timeout=timeout_s)
        session = cls(call, "drafter", traffic)
        opening = drafter_pb2.OpenDraft(
            law=law, end_token_ids=sorted(end_token_ids), log_probs=log_probs
        )
        first = await session.first(drafter_pb2.DraftRequest(open=opening))
        session.queue_ms = first.opened.queue_ms
        return session

    async def start_draft(self, order: DraftOrder) -> int:
        """See DrafterSession."""
        step = drafter_pb2.DraftStep(
            step_id=self.next_step_id(),
            position=order.position,
            append=order.append,
            max_tokens=order.max_tokens,
            piece_length=order.piece_length,
            early_stop=order.early_stop,
            top_probs=order.top_probs,
            acceptance=order.acceptance,
            least_chance=order.least_chance,
            alternatives=order.alternatives,
            forks=[drafter_pb2.Fork(position=fork.position, id=fork.id) for fork in order.forks],
            fork_tokens=order.fork_tokens,
            stop_at_deferral=order.stop_at_deferral,
        )
        await self.write(drafter_pb2.DraftRequest(draft=step))
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
        traffic: Traffic | None = None,
    ) -> "GrpcExpertSession":
        """Opens the stream and waits for the slot.  ``traffic``: where its bytes are counted.

        Raises:
            CascadeError: no slot, or no peer.
        """
        call = expert_pb2_grpc.ExpertServiceStub(channel).Verify(timeout=timeout_s)
        session = cls(call, "expert", traffic)
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
        step = expert_pb2.VerifyStep(
            step_id=self.next_step_id(),
            position=position,
            append=append,
            prefix_hash=prefix_hash,
            block=block,
        )
        await self.write(expert_pb2.VerifyRequest(verify=step))

    async def verdict(self) -> expert_pb2.Verdict:
        """See ExpertSession."""
        while True:
            response = await self.read()
            if response.WhichOneof("result") == "verdict":  # the rest of a decode may still come
                return response.verdict

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncIterator[expert_pb2.DecodedTokens]:
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
