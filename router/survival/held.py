"""A session on a pod, for as long as the pod lasts."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Generic, Protocol, TypeVar

from router.pool import Lease
from router.pool.patience import Patience
from router.survival.silence import Silence
from services.errors import EngineFailed, PeerLost


class Closable(Protocol):
    """What all sessions are."""

    def close(self) -> None:
        """Frees the slot."""


S = TypeVar("S", bound=Closable)
T = TypeVar("T")


class Held(Generic[S]):
    """The session and the lease of its pod."""

    def __init__(self, session: S, lease: Lease, patience: Patience) -> None:
        """The session is open."""
        self.session = session
        self._lease = lease
        self._patience = patience
        self._silence = Silence(patience.limit_s, lease.pod.probe, self._give_up)
        self._given_up = False
        self._why = ""

    async def wait(self, answer: Awaitable[T]) -> T:
        """An answer of the session; one at a time is waited for.

        Raises:
            PeerLost: the pod is lost, or silent.
            EngineFailed: the step failed: others had better go elsewhere.
        """
        began = time.monotonic()
        try:
            with self._silence:
                result = await self.unless_given_up(answer)
        except EngineFailed:
            self._lease.pod.failed()
            raise
        self._patience.waited(time.monotonic() - began)
        self._lease.answered()
        return result

    async def unless_given_up(self, doing: Awaitable[T]) -> T:
        """What the session does; a stream that is given up meanwhile counts as lost.

        Raises:
            PeerLost: it is, or the pod.
        """
        try:
            return await doing
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._given_up or (task is not None and task.cancelling()):
                raise
            raise PeerLost(f"{self._lease.pod.address} {self._why}") from None

    def lost(self) -> None:
        """The pod is: nothing more comes of it."""
        self._silence.close()
        self._lease.lost()
        self._give_up()

    def give_way(self) -> None:
        """Frees the slot of a session that is to go on elsewhere, though its pod is there."""
        self._silence.close()
        self._lease.close()
        self._give_up("has its slot back")

    def close(self) -> None:
        """Frees the slot."""
        self._silence.close()
        self.session.close()
        self._lease.close()

    def _give_up(self, why: str = "is lost or silent") -> None:
        self._given_up, self._why = True, why
        self.session.close()
