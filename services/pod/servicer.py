"""A service whose streams are sessions: the first message opens one, the others are its steps."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
from cascade.v1 import drafter_pb2, expert_pb2
from google.protobuf.message import DecodeError, Message

from services.engine.facts import ModelFacts
from services.engine.step import Step
from services.errors import CascadeError, InvalidField
from services.pod.law import SessionLaw
from services.pod.stream import Emit, Pod, check_tokens
from services.serving.decoding import NO_MESSAGE
from services.serving.status import abort

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Opened:
    """What all steps of a session go by."""

    facts: ModelFacts
    law: SessionLaw
    end_token_ids: frozenset[int]
    log_probs: bool


class SessionServicer(ABC, Generic[Request, Response]):
    """One stream, one session."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    @abstractmethod
    def opening(self, request: Request) -> drafter_pb2.OpenDraft | expert_pb2.OpenVerify | None:
        """What a first message opens a session with; None: it is another step."""

    @abstractmethod
    def opened(self, queue_ms: float) -> Response:
        """The answer to it; ``queue_ms``: how long the session waited for its slot."""

    @abstractmethod
    def step(self, request: Request, opened: Opened, emit: Emit[Response]) -> Step:
        """The step that a further message asks for.

        Raises:
            InvalidField: it can't be.
        """

    @abstractmethod
    def count_tokens(self, response: Response) -> int:
        """How many tokens a response brings."""

    async def serve(
        self, requests: AsyncIterator[Request], context: grpc.aio.ServicerContext[Request, Response]
    ) -> AsyncGenerator[Response, None]:
        """Carries out a stream."""
        try:
            # Closed with this generator, not when somebody collects it: that frees the slot.
            async with aclosing(self._session(requests)) as responses:
                async for response in responses:
                    yield response
        except CascadeError as error:
            await abort(context, error)

    async def _session(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Response, None]:
        try:
            first = await anext(aiter(requests), None)
        except DecodeError:
            raise InvalidField(NO_MESSAGE) from None
        if first is None:
            return
        opening = self.opening(first)
        if opening is None:
            raise InvalidField(("step", "the first message must be open"))
        model = self._pod.engine.model
        law = SessionLaw.from_proto(opening.law)
        ends = list(opening.end_token_ids)
        check_tokens("open.end_token_ids", ends, model.facts.vocabulary_size)
        opened = Opened(model.facts, law, frozenset(ends), opening.log_probs)
        running = self._pod.run_session(
            requests,
            self.opened,
            lambda request, emit: self.step(request, opened, emit),
            self.count_tokens,
        )
        async with aclosing(running) as responses:
            async for response in responses:
                yield response


def emitter(
    emit: Emit[Response], wrap: Callable[[Result], Response]
) -> Callable[[Result | CascadeError], None]:
    """Hands a step's results on as responses, and its errors as they are."""

    return lambda item: emit(item if isinstance(item, CascadeError) else wrap(item))
