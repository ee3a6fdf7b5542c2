"""DrafterService: decodes, calls, encodes."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
from cascade.v1 import drafter_pb2 as pb
from cascade.v1 import drafter_pb2_grpc, law_pb2

from services.drafter.draft import DraftStep
from services.engine.step import Step
from services.errors import CascadeError, InvalidField
from services.pod.law import SessionLaw
from services.pod.score import ScoreStep
from services.pod.stream import Emit, Pod, check_tokens
from services.serving.status import abort

Context = grpc.aio.ServicerContext[pb.DraftRequest, pb.DraftResponse]


class DrafterServicer(drafter_pb2_grpc.DrafterServiceServicer):
    """One stream, one session."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    async def Draft(
        self, requests: AsyncIterator[pb.DraftRequest], context: Context
    ) -> AsyncIterator[pb.DraftResponse]:
        """Opens a session with the first message and carries out the others as steps."""
        try:
            # Closed with this generator, not when somebody collects it: that frees the slot.
            async with aclosing(self._session(requests)) as responses:
                async for response in responses:
                    yield response
        except CascadeError as error:
            await abort(context, error)

    async def _session(
        self, requests: AsyncIterator[pb.DraftRequest]
    ) -> AsyncGenerator[pb.DraftResponse, None]:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        if first.WhichOneof("step") != "open":
            raise InvalidField(("step", "the first message must be open"))
        model = self._pod.engine.model
        law = SessionLaw.from_proto(first.open.law, model.device)
        log_probs = first.open.log_probs
        check_tokens(
            "open.end_token_ids", list(first.open.end_token_ids), model.facts.vocabulary_size
        )
        ends = frozenset(first.open.end_token_ids)

        def make_step(request: pb.DraftRequest, emit: Emit[pb.DraftResponse]) -> Step:
            def emit_block(item: pb.DraftedBlock | CascadeError) -> None:
                emit(item if isinstance(item, CascadeError) else pb.DraftResponse(block=item))

            def emit_forks(item: pb.DraftedForks | CascadeError) -> None:
                emit(item if isinstance(item, CascadeError) else pb.DraftResponse(forks=item))

            def emit_scored(item: law_pb2.ScoredText | CascadeError) -> None:
                emit(item if isinstance(item, CascadeError) else pb.DraftResponse(scored=item))

            match request.WhichOneof("step"):
                case "draft":
                    return DraftStep(
                        request.draft,
                        model.facts,
                        law,
                        ends,
                        emit_block,
                        emit_forks=emit_forks,
                        log_probs=log_probs,
                    )
                case "score":
                    return ScoreStep(request.score, model.facts, law.law.sampling, emit_scored)
                case other:
                    raise InvalidField(("step", f"must be draft or score, got {other}"))

        def opened(queue_ms: float) -> pb.DraftResponse:
            return pb.DraftResponse(opened=pb.DraftOpened(queue_ms=queue_ms))

        running = self._pod.run_session(
            requests, opened, make_step, lambda response: len(response.block.tokens)
        )
        async with aclosing(running) as responses:
            async for response in responses:
                yield response
