"""Opens the sessions of one answer on pods of one role."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any, Generic

import grpc

from router.backoff import Backoff
from router.pool import Lease, Pod, Pool
from router.survival.held import Held, S
from router.survival.order import Open
from router.survival.silence import Silence
from services.errors import NoPodLeft, Overloaded, PeerLost

_ROUNDS = 5
"""Through all pods, for an answer that has begun."""
_FIRST_S, _MOST_S = 0.1, 1.0
"""Between two rounds."""

OpenSession = Callable[[grpc.aio.Channel, float | None], Coroutine[Any, Any, S]]
"""Opens a session on a pod's channel, with the seconds that it may take altogether."""


class Opener(Generic[S]):
    """Tries the best pod, then the next."""

    def __init__(
        self,
        pool: Pool,
        open_session: OpenSession[S],
        prompt: Sequence[int],
        length: int,
        time_remaining: Callable[[], float | None],
        on_failover: Callable[[], None],
        in_order: Callable[[Open[S]], Awaitable[Held[S]]],
    ) -> None:
        """Opens nothing yet.

        Args:
            pool: of the pods.
            open_session: opens one.
            prompt: of the answer.
            length: tokens of prompt and answer, which the pod has to hold.
            time_remaining: seconds of the call's deadline, which so reaches the engines.
            on_failover: told of each session that was opened anew.
            in_order: opens in place of a session that was lost, when it is this one's turn.
        """
        self._pool = pool
        self._open_session = open_session
        self._prompt = prompt
        self._length = length
        self._time_remaining = time_remaining
        self._on_failover = on_failover
        self._in_order = in_order

    @property
    def role(self) -> str:
        """drafter or expert."""
        return self._pool.role

    async def open(self, *, patiently: bool = False) -> Held[S]:
        """The first session of an answer: each available pod is tried once.

        Args:
            patiently: tries for a while, never past the deadline.

        Raises:
            Overloaded: those that there are have no room.
            NoPodLeft: there is none.
            CascadeError: a pod refused.
        """
        backoff = Backoff(_FIRST_S, _MOST_S)
        for left in reversed(range(_ROUNDS if patiently else 1)):
            try:
                return await self._try_each()
            except (Overloaded, NoPodLeft):
                delay_s, time_left_s = backoff.next_s(), self._time_remaining()
                if not left or (time_left_s is not None and time_left_s <= delay_s):
                    raise
                await asyncio.sleep(delay_s)
        raise AssertionError("the last round returns or raises")

    async def reopen(self) -> Held[S]:
        """A session in place of one that was lost, patiently.

        Raises:
            NoPodLeft: there is none, or none has room: the answer has begun, and may go on without.
            CascadeError: a pod refused.
        """
        try:
            held = await self._in_order(lambda: self.open(patiently=True))
        except Overloaded as error:
            raise NoPodLeft(self.role, str(error)) from error
        self._on_failover()
        return held

    async def _try_each(self) -> Held[S]:
        tried: set[Pod] = set()
        refused: Overloaded | None = None
        why = "none is available"
        while lease := self._pool.lease(self._prompt, self._length, tried):
            tried.add(lease.pod)
            try:
                session = await self._open_on(lease)
                lease.opened()
                return Held(session, lease, self._pool.patience)
            except PeerLost as error:
                lease.lost()
                why = str(error)
            except Overloaded as error:
                lease.close()
                refused = error
            except BaseException:
                lease.close()
                raise
        raise refused or NoPodLeft(self.role, why)

    async def _open_on(self, lease: Lease) -> S:
        """Waits for the slot for as long as the pod is there."""
        opening = asyncio.create_task(self._open_session(lease.pod.channel, self._time_remaining()))

        async def is_there() -> bool:
            answers = await lease.pod.probe()
            if answers:  # the session waits in its queue, where others may, too
                lease.opened()
            return answers

        watch = Silence(self._pool.patience.limit_s, is_there, opening.cancel)
        with closing(watch), watch:
            try:
                await asyncio.wait([opening])
            except BaseException:  # nobody takes the session, which may be there already
                opening.cancel()
                opening.add_done_callback(_close)
                raise
        if opening.cancelled():
            raise PeerLost(f"{lease.pod.address} is silent")
        return opening.result()


def _close(opening: "asyncio.Task[S]") -> None:
    """Frees the slot of a session that was opened for nobody."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
