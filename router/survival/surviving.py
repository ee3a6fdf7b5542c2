"""What both kinds of surviving sessions do: send, receive, and open anew."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import structlog

from router.survival.held import Held, S
from router.survival.opener import Opener
from services.errors import CascadeError, NoPodLeft, PeerLost

log = structlog.get_logger()

_ATTEMPTS = 5
"""Pods that may be lost in a row without an answer between."""

T = TypeVar("T")


class Surviving(ABC, Generic[S]):
    """A session whose stream is replaced when its pod is lost.

    One task may wait for an answer while another sends: whoever finds the loss opens anew, under a
    lock, and sends all that was not answered; the other finds a new stream and goes on with it.
    """

    def __init__(self, opener: Opener[S], held: Held[S]) -> None:
        """A session that is open.

        Args:
            opener: opens others like it.
            held: the session.
        """
        self._opener = opener
        self._held = held
        self._lock = asyncio.Lock()
        self._losses = 0
        self._failure: CascadeError | None = None
        """Why there is no other stream: whoever waited for one is told, too."""
        self._asked_anew = False
        """Whether there is a step that the replay that runs may not have."""
        self._over = False

    @abstractmethod
    async def _replay(self, session: S) -> None:
        """Sends the tokens and what was not answered yet to a session that has nothing."""

    async def _send(self, send: Callable[[S], Awaitable[object]]) -> None:
        """Sends a step that the mirror knows already, so that a replay has it, too."""
        held = self._held
        async with self._lock:
            self._check_failure()
            if held is not self._held:  # a replay meanwhile has sent it: not twice
                return
            try:
                await held.unless_given_up(send(held.session))
            except PeerLost as error:
                await self._replace(error)

    async def _send_soon(self, send: Callable[[S], Awaitable[object]]) -> None:
        """As ``_send``, but looks for no pod: whoever waits for an answer does, and sends the step.

        Only for steps of which another replay does no harm.
        """
        self._check_failure()
        if self._lock.locked():
            self._asked_anew = True
            return
        with suppress(PeerLost):
            await self._held.unless_given_up(send(self._held.session))

    async def _receive(self, receive: Callable[[S], Awaitable[T]]) -> T:
        """The next answer, of whichever stream gives it."""
        while True:
            held = self._held
            try:
                answer = await held.wait(receive(held.session))
            except PeerLost as error:
                await self._survive(held, error)
            else:
                self._losses = 0
                return answer

    async def _survive(self, held: Held[S], error: PeerLost) -> None:
        """Opens anew, unless that has been done meanwhile."""
        async with self._lock:
            self._check_failure()
            if self._held is held:
                await self._replace(error)

    def _check_failure(self) -> None:
        if self._failure:
            raise self._failure

    async def _replace(self, error: PeerLost) -> None:
        """Another stream in place of the current one, with all that this one had.

        Raises:
            CascadeError: there is no other, or too many were lost.
        """
        try:
            await self._search(error)
        except CascadeError as failure:
            self._failure = failure
            raise

    async def _search(self, error: PeerLost) -> None:
        while True:
            self._held.lost()
            self._losses += 1
            if self._over:
                raise error
            if self._losses > _ATTEMPTS:
                raise NoPodLeft(self._opener.role, str(error))
            log.warning("failover", role=self._opener.role, why=str(error))
            self._held = held = await self._opener.reopen()
            if self._over:  # closed meanwhile
                held.close()
                raise error
            try:
                self._asked_anew = True
                while self._asked_anew:
                    self._asked_anew = False
                    await held.unless_given_up(self._replay(held.session))
            except PeerLost as again:
                error = again
            else:
                return

    def give_way(self) -> None:
        """Frees the slot for now: the session opens anew with its next step, or its next answer."""
        self._held.give_way()

    def close(self) -> None:
        """Frees the slot."""
        self._over = True
        self._held.close()
