"""One bidirectional stream is one session is one slot of the cache."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Any, TypeVar

import structlog
from google.protobuf.message import DecodeError

from services.engine.engine import Engine
from services.engine.session import Session
from services.engine.step import Step
from services.errors import CascadeError, EngineFailed, InvalidField, PeerLost
from services.pod.metrics import PodMetrics
from services.pod.outbox import Outbox
from services.pod.record import SessionRecord
from services.serving.decoding import NO_MESSAGE
from services.serving.slots import Slots

log = structlog.get_logger()

Request = TypeVar("Request")
Response = TypeVar("Response")

Emit = Callable[[Response | CascadeError], None]
"""Hands a result of a step, or the error that ends the session, to the stream.  Thread-safe."""


MAX_UNANSWERED = 4096
"""Steps of a session that wait, or results that its router has not read."""


class Pod:
    """An engine, the slots for its sessions, and whether new ones are welcome."""

    def __init__(self, engine: Engine, slots: Slots, metrics: PodMetrics) -> None:
        """On the event loop that serves it."""
        self.engine = engine
        self._outbox = Outbox(asyncio.get_running_loop())
        self.slots = slots
        self._metrics = metrics
        self._open: set[asyncio.Queue[Any]] = set()

    def healthy(self, longest_pass_s: float) -> bool:
        """Whether the engine works.  A pass that takes longer is taken for one that never ends."""
        if self.engine.alive and self.engine.turn_s > longest_pass_s:
            log.error("a pass does not end: the pod gives up", seconds=round(self.engine.turn_s, 1))
            self.engine.give_up()
        return self.engine.alive

    def end_sessions(self) -> None:
        """Ends them all with UNAVAILABLE, so that their routers go on elsewhere."""
        for results in self._open:
            results.put_nowait(PeerLost("the pod is to end, and its grace is over"))

    async def run_session(
        self,
        requests: AsyncIterator[Request],
        opened: Callable[[float], Response],
        make_step: Callable[[Request, Emit[Response]], Step],
        count_tokens: Callable[[Response], int],
    ) -> AsyncGenerator[Response, None]:
        """Holds a slot and carries out the steps of one stream, until its caller ends it.

        Args:
            requests: the stream's messages after the first.
            opened: makes the answer to the first, from the milliseconds it waited for a slot.
            make_step: makes the step that a message asks for.
            count_tokens: how many tokens a response brings.

        Raises:
            CascadeError: what ended the session.
        """
        async with self.slots.hold() as waited_s:
            session = self.engine.open()
            results: asyncio.Queue[Response | CascadeError | None] = asyncio.Queue()
            record, ended = SessionRecord(self._metrics, waited_s), None
            reading = self._read(session, requests, make_step, results, record)
            reader = asyncio.create_task(reading)
            self._open.add(results)
            try:
                yield opened(waited_s * 1000)
                while (item := await results.get()) is not None:
                    if isinstance(item, CascadeError):
                        raise item
                    record.tokens(count_tokens(item))
                    yield item
            except BaseException as error:
                ended = error
                raise
            finally:
                self._open.discard(results)
                reader.cancel()
                closed = self.engine.close(session)
                record.end(ended, session.timing)
                await asyncio.wrap_future(closed)

    async def _read(
        self,
        session: Session,
        requests: AsyncIterator[Request],
        make_step: Callable[[Request, Emit[Response]], Step],
        results: "asyncio.Queue[Response | CascadeError | None]",
        record: SessionRecord,
    ) -> None:
        """Submits steps as they come; ends the stream when the caller has and all are done."""

        def emit(item: Response | CascadeError) -> None:
            self._outbox.put(partial(results.put_nowait, item))

        try:
            async for request in requests:
                step = make_step(request, emit)
                if max(len(session.steps), results.qsize()) >= MAX_UNANSWERED:
                    unread = f"{len(session.steps)} steps and {results.qsize()} results"
                    raise InvalidField(
                        ("step", f"must have fewer than {MAX_UNANSWERED} before it, got {unread}")
                    )
                record.step()
                self.engine.submit(session, step)
            await asyncio.wrap_future(self.engine.drain(session))
            results.put_nowait(None)
        except CascadeError as error:
            results.put_nowait(error)
        except DecodeError:
            results.put_nowait(InvalidField(NO_MESSAGE))
        except Exception as error:  # nothing else would end the session
            log.exception("a session's steps can't be read")
            results.put_nowait(EngineFailed(f"a step can't be taken: {type(error).__name__}"))


def check_tokens(field: str, ids: list[int], vocabulary_size: int) -> None:
    """Refuses token ids outside the vocabulary.

    Raises:
        InvalidField: naming the first of them.
    """
    if max(ids, default=0) < vocabulary_size:
        return
    index, token = next((i, token) for i, token in enumerate(ids) if token >= vocabulary_size)
    raise InvalidField((f"{field}[{index}]", f"must be below {vocabulary_size}, got {token}"))


def check_length(field: str, length: int, context_length: int) -> None:
    """Refuses a step that leads beyond the context.

    Raises:
        InvalidField: naming the limit.
    """
    if length > context_length:
        raise InvalidField(
            (field, f"the session would have {length} tokens, the context holds {context_length}")
        )


def check_position(session: Session, position: int, append: list[int]) -> None:
    """Refuses a position that the session has not reached, and an empty session.

    Raises:
        InvalidField: naming the limit.
    """
    if position > len(session.tokens):
        raise InvalidField(
            ("position", f"must be at most the session's {len(session.tokens)}, got {position}")
        )
    if position + len(append) == 0:
        raise InvalidField(("append", "a step needs at least one token before it, got none"))
