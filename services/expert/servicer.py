"""ExpertService: decodes, calls, encodes."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
from cascade.v1 import expert_pb2 as pb
from cascade.v1 import expert_pb2_grpc, law_pb2

from services.engine.step import Step
from services.errors import CascadeError, InvalidField
from services.expert.decode import DecodeStep
from services.expert.verify import VerifyStep
from services.pod.law import SessionLaw
from services.pod.score import ScoreStep
from services.pod.stream import Emit, Pod, check_tokens
from services.serving.status import abort

Context = grpc.aio.ServicerContext[pb.VerifyRequest, pb.VerifyResponse]


class ExpertServicer(expert_pb2_grpc.ExpertServiceServicer):
    """One stream, one session."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    async def Verify(
        self, requests: AsyncIterator[pb.VerifyRequest], context: Context
    ) -> AsyncIterator[pb.VerifyResponse]:
        """Opens a session with the first message and carries out the others as steps."""
        try:
            # Closed with this generator, not when somebody collects it: that frees the slot.
            async with aclosing(self._session(requests)) as responses:
                async for response in responses:
                    yield response
        except CascadeError as error:
            await abort(context, error)

    async def _session(
        self, requests: AsyncIterator[pb.VerifyRequest]
    ) -> AsyncGenerator[pb.VerifyResponse, None]:
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

        def make_step(request: pb.VerifyRequest, emit: Emit[pb.VerifyResponse]) -> Step:
            def emit_verdict(item: pb.Verdict | CascadeError) -> None:
                emit(item if isinstance(item, CascadeError) else pb.VerifyResponse(verdict=item))

            def emit_decoded(item: pb.DecodedTokens | CascadeError) -> None:
                emit(item if isinstance(item, CascadeError) else pb.VerifyResponse(decoded=item))

            def emit_scored(item: law_pb2.ScoredText | CascadeError) -> None:
                emit(item if isinstance(item, CascadeError) else pb.VerifyResponse(scored=item))

            match request.WhichOneof("step"):
                case "verify":
                    return VerifyStep(
                        request.verify, model.facts, law, ends, emit_verdict, log_probs=log_probs
                    )
                case "decode":
                    return DecodeStep(
                        request.decode, model.facts, law, ends, emit_decoded, log_probs=log_probs
                    )
                case "score":
                    return ScoreStep(request.score, model.facts, law.law.sampling, emit_scored)
                case other:
                    raise InvalidField(("step", f"must be verify, decode or score, got {other}"))

        def opened(queue_ms: float) -> pb.VerifyResponse:
            return pb.VerifyResponse(opened=pb.VerifyOpened(queue_ms=queue_ms))

        running = self._pod.run_session(
            requests,
            opened,
            make_step,
            lambda response: len(response.verdict.tokens) + len(response.decoded.tokens),
        )
        async with aclosing(running) as responses:
            async for response in responses:
                yield response
