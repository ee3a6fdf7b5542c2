"""ExpertService: decodes, calls, encodes."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
from cascade.v1 import expert_pb2 as pb
from cascade.v1 import expert_pb2_grpc

from services.engine.step import Step
from services.errors import InvalidField
from services.expert.decode import DecodeStep
from services.expert.verify import VerifyStep
from services.pod.score import ScoreStep
from services.pod.servicer import Opened, SessionServicer, emitter
from services.pod.stream import Emit

Context = grpc.aio.ServicerContext[pb.VerifyRequest, pb.VerifyResponse]


class ExpertServicer(
    SessionServicer[pb.VerifyRequest, pb.VerifyResponse], expert_pb2_grpc.ExpertServiceServicer
):
    """One stream, one session."""

    async def Verify(
        self, requests: AsyncIterator[pb.VerifyRequest], context: Context
    ) -> AsyncIterator[pb.VerifyResponse]:
        """Opens a session with the first message and carries out the others as steps."""
        async with aclosing(self.serve(requests, context)) as responses:
            async for response in responses:
                yield response

    def opening(self, request: pb.VerifyRequest) -> pb.OpenVerify | None:
        """See SessionServicer."""
        return request.open if request.HasField("open") else None

    def opened(self, queue_ms: float) -> pb.VerifyResponse:
        """See SessionServicer."""
        return pb.VerifyResponse(opened=pb.VerifyOpened(queue_ms=queue_ms))

    def step(
        self, request: pb.VerifyRequest, opened: Opened, emit: Emit[pb.VerifyResponse]
    ) -> Step:
        """See SessionServicer."""
        match request.WhichOneof("step"):
            case "verify":
                return VerifyStep(
                    request.verify,
                    opened.facts,
                    opened.law,
                    opened.end_token_ids,
                    emitter(emit, lambda verdict: pb.VerifyResponse(verdict=verdict)),
                    log_probs=opened.log_probs,
                )
            case "decode":
                return DecodeStep(
                    request.decode,
                    opened.facts,
                    opened.law,
                    opened.end_token_ids,
                    emitter(emit, lambda decoded: pb.VerifyResponse(decoded=decoded)),
                    log_probs=opened.log_probs,
                )
            case "score":
                return ScoreStep(
                    request.score,
                    opened.facts,
                    opened.law.law.sampling,
                    emitter(emit, lambda scored: pb.VerifyResponse(scored=scored)),
                )
            case other:
                raise InvalidField(("step", f"must be verify, decode or score, got {other}"))

    def count_tokens(self, response: pb.VerifyResponse) -> int:
        """See SessionServicer."""
        return len(response.verdict.tokens) + len(response.decoded.tokens)
