"""The sessions of one answer, opened when its strategy first asks for them."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from router.peers import Pair
from router.recorder import Recorder
from router.request import Request
from router.streams import GrpcDrafterSession, GrpcExpertSession, Traffic


class Sessions:
    """A session on each model at most.  Leaving the block closes those that were opened."""

    def __init__(
        self,
        pair: Pair,
        request: Request,
        recorder: Recorder,
        time_remaining: Callable[[], float | None],
    ) -> None:
        """``time_remaining``: seconds of the call's deadline, which so reaches both engines."""
        self._pair = pair
        self._request = request
        self._recorder = recorder
        self._time_remaining = time_remaining
        self._stack = ExitStack()
        self.drafter_traffic, self.expert_traffic = Traffic(), Traffic()

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def drafter(self) -> GrpcDrafterSession:
        """Opens the session on the drafter.

        Raises:
            CascadeError: no slot, or no peer.
        """
        session = await GrpcDrafterSession.open(
            self._pair.drafter.channel,
            self._request.law,
            self._request.final_token_ids,
            log_probs=self._request.log_probs,
            timeout_s=self._time_remaining(),
        )
        self._stack.callback(session.close)
        self._recorder.waited(session.queue_ms)
        self.drafter_traffic = session.traffic
        return session

    async def expert(self) -> GrpcExpertSession:
        """Opens the session on the expert.

        Raises:
            CascadeError: no slot, or no peer.
        """
        session = await GrpcExpertSession.open(
            self._pair.expert.channel,
            self._request.law,
            self._request.final_token_ids,
            log_probs=self._request.log_probs,
            timeout_s=self._time_remaining(),
        )
        self._stack.callback(session.close)
        self._recorder.waited(session.queue_ms)
        self.expert_traffic = session.traffic
        return session
