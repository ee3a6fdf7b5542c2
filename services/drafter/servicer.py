"""DrafterService: decodes, calls, encodes."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
from cascade.v1 import drafter_pb2 as pb
from cascade.v1 import drafter_pb2_grpc

from services.drafter.draft import DraftStep
from services.engine.step import Step
from services.errors import InvalidField
from services.pod.score import ScoreStep
from services.pod.servicer import Opened, SessionServicer, emitter
from services.pod.stream import Emit

Context = grpc.aio.ServicerContext[pb.DraftRequest, pb.DraftResponse]


class DrafterServicer(
    SessionServicer[pb.DraftRequest, pb.DraftResponse], drafter_pb2_grpc.DrafterServiceServicer
):
    """One stream, one session."""

    async def Draft(
        self, requests: AsyncIterator[pb.DraftRequest], context: Context
    ) -> AsyncIterator[pb.DraftResponse]:
        """Opens a session with the first message and carries out the others as steps."""
        async with aclosing(self.serve(requests, context)) as responses:
            async for response in responses:
                yield response

    def opening(self, request: pb.DraftRequest) -> pb.OpenDraft | None:
        """See SessionServicer."""
        return request.open if request.HasField("open") else None

    def opened(self, queue_ms: float) -> pb.DraftResponse:
        """See SessionServicer."""
        return pb.DraftResponse(opened=pb.DraftOpened(queue_ms=queue_ms))

    def step(self, request: pb.DraftRequest, opened: Opened, emit: Emit[pb.DraftResponse]) -> Step:
        """See SessionServicer."""
        match request.WhichOneof("step"):
            case "draft":
                return DraftStep(
                    request.draft,
                    opened.facts,
                    opened.law,
                    opened.end_token_ids,
                    emitter(emit, lambda block: pb.DraftResponse(block=block)),
                    emit_forks=emitter(emit, lambda forks: pb.DraftResponse(forks=forks)),
                    log_probs=opened.log_probs,
                )
            case "score":
                return ScoreStep(
                    request.score,
                    opened.facts,
                    opened.law.law.sampling,
                    emitter(emit, lambda scored: pb.DraftResponse(scored=scored)),
                )
            case other:
                raise InvalidField(("step", f"must be draft or score, got {other}"))

    def count_tokens(self, response: pb.DraftResponse) -> int:
        """See SessionServicer."""
        return len(response.block.tokens)
