"""RouterService: checks a request, runs its strategy, streams the answer."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial

import grpc
import structlog
from cascade.v1 import router_pb2 as pb
from cascade.v1 import router_pb2_grpc

from router.access import Caller, Guard
from router.answer import Answer
from router.loss import outlive_losses
from router.metrics import RouterMetrics
from router.opening import Sessions
from router.pace import Histories, Overlap
from router.pair import Pair
from router.prompt import uses_template
from router.recorder import Recorder
from router.request import Request, resolve
from router.strategies import STRATEGIES, Task
from router.text import AnswerText
from router.unread import while_read
from services.errors import CascadeError
from services.serving.status import abort

log = structlog.get_logger()

_SHORT = 512
"""Bytes of a request whose prompt is tokenised in less time than a thread takes to begin."""

_PROMPTS_AT_ONCE = 2
"""That are tokenised: on threads of their own, so that nothing else waits for them."""

Context = grpc.aio.ServicerContext[pb.GenerateRequest, pb.GenerateResponse]


class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """Answers clients with the pods of a pair."""

    def __init__(
        self,
        pair: Pair,
        guard: Guard,
        metrics: RouterMetrics,
        overlap: Overlap,
        unread_limit_s: float,
    ) -> None:
        """Answers nobody yet.

        Args:
            pair: tokenizer and pods.
            guard: who may ask, and when.
            metrics: of all answers.
            overlap: where a request does not say.
            unread_limit_s: how long a client may let a response wait; 0: for ever.
        """
        self._pair = pair
        self._guard = guard
        self._metrics = metrics
        self._overlap = overlap
        self._unread_limit_s = unread_limit_s
        self._histories = Histories()
        self._threads = ThreadPoolExecutor(_PROMPTS_AT_ONCE, "prompt")

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        """One answer, streamed."""
        request_id, called_at = uuid.uuid4().hex, time.perf_counter()
        try:
            with self._metrics.answering():
                async with self._guard.admit(tuple(context.invocation_metadata() or ())) as caller:
                    resolved = await self._resolve(request)
                    recorder = Recorder(resolved.law, called_at)
                    recorder.waited(1000 * caller.waited_s)
                    with caller.prompt(len(resolved.prompt), lambda: recorder.began):
                        answering = self._answer(request_id, resolved, recorder, caller, context)
                        # Closed with this generator, not when it is collected: that frees slots.
                        reading = while_read(answering, self._unread_limit_s, context)
                        async with aclosing(reading) as responses:
                            async for response in responses:
                                yield response
        except CascadeError as error:
            log.info("refused", request=request_id, error=type(error).__name__, text=str(error))
            await abort(context, error)

    async def _resolve(self, request: pb.GenerateRequest) -> Request:
        resolving = partial(
            resolve,
            request,
            self._pair.tokenizer,
            context_length=self._pair.context_length,
            end_token_ids=self._pair.end_token_ids,
            overlap=self._overlap,
        )
        if request.ByteSize() <= _SHORT and not uses_template(request, self._pair.tokenizer):
            return resolving()
        on_thread = asyncio.get_running_loop().run_in_executor(self._threads, resolving)
        try:
            return await asyncio.shield(on_thread)
        except asyncio.CancelledError:
            # One that has begun goes on: until it ends the call keeps its place, and its key's.
            if not on_thread.cancel():
                await asyncio.wait([on_thread])
            raise

    async def _answer(
        self,
        request_id: str,
        request: Request,
        recorder: Recorder,
        caller: Caller,
        context: Context,
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        yield pb.GenerateResponse(
            started=pb.Started(
                request_id=request_id,
                law=request.law,
                prompt_tokens=len(request.prompt),
                max_tokens=request.max_tokens,
                prompt_token_ids=request.prompt if request.echo_prompt else (),
            )
        )

        def new_answer() -> Answer:
            before = request.prompt if request.continues else ()
            text = AnswerText(self._pair.tokenizer, request.stop_strings, before)
            return Answer(request, text)

        answer = new_answer()
        # Leaving the block in any way frees both slots.
        with Sessions(
            self._pair, request, recorder, self._metrics.pods, context.time_remaining
        ) as sessions:
            task = Task(
                request,
                recorder,
                self._histories.of(request.law),
                sessions.drafter,
                sessions.expert,
                new_answer,
            )
            strategy = STRATEGIES[request.law.mode]
            emitting = outlive_losses(
                task, strategy, sessions.close, sessions.drafter, sessions.expert
            )
            async for emitted in emitting:
                if tokens := answer.take(emitted, other_law=recorder.other_law):
                    caller.delivered(len(tokens))
                    response = pb.GenerateResponse()
                    response.tokens.tokens.extend(tokens)
                    yield response
                if answer.reason:
                    break
        finished = answer.finished()
        finished.statistics.CopyFrom(
            recorder.statistics(sessions.drafter_traffic, sessions.expert_traffic)
        )
        self._metrics.finished(finished)
        log.info(
            "finished",
            request=request_id,
            key=caller.name,
            reason=pb.FinishReason.Name(finished.reason),
            prompt_tokens=finished.usage.prompt_tokens,
            completion_tokens=finished.usage.completion_tokens,
            total_ms=round(finished.statistics.total_ms, 1),
            alone=list(finished.statistics.alone_reasons),
            failovers=finished.statistics.failovers,
        )
        yield pb.GenerateResponse(finished=finished)
