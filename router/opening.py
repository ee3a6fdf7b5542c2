"""The sessions of one answer, opened when its strategy first asks for them."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType

import grpc
from cascade.v1 import law_pb2

from router.pair import Pair
from router.pool import Pool
from router.pool.metrics import PoolMetrics
from router.recorder import Recorder
from router.request import Request
from router.sessions import DrafterSession, ExpertSession
from router.streams import GrpcDrafterSession, GrpcExpertSession, Traffic
from router.survival import Opener, SlotOrder, SurvivingDrafter, SurvivingExpert
from router.survival.held import Held, S
from router.survival.opener import OpenSession
from router.survival.order import Open


class Sessions:
    """A session on each model at most.  Leaving the block closes those that were opened.

    An answer that can't begin fails at once; one that has begun is worth some patience.
    """

    def __init__(
        self,
        pair: Pair,
        request: Request,
        recorder: Recorder,
        metrics: PoolMetrics,
        time_remaining: Callable[[], float | None],
    ) -> None:
        """``time_remaining``: seconds of the call's deadline, which so reaches both engines."""
        self._pair = pair
        self._request = request
        self._recorder = recorder
        self._metrics = metrics
        self._time_remaining = time_remaining
        self._stack = ExitStack()
        self._order = SlotOrder()
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

    async def drafter(self, law: law_pb2.Law | None = None) -> SurvivingDrafter:
        """Opens the session on a drafter; under another law than the request's where one is given.

        Raises:
            CascadeError: no slot, or no pod.
        """
        opener = self._opener(
            self._pair.drafters, partial(self._open_drafter, law), self._order.reopen_drafter
        )
        held = await opener.open(patiently=self._recorder.began)
        session = SurvivingDrafter(opener, held)
        self._stack.callback(session.close)
        return session

    async def expert(self, law: law_pb2.Law | None = None) -> SurvivingExpert:
        """Opens the session on an expert; under another law than the request's where one is given.

        Raises:
            CascadeError: no slot, or no pod.
        """
        opener = self._opener(
            self._pair.experts, partial(self._open_expert, law), self._order.reopen_expert
        )
        held = await opener.open(patiently=self._recorder.began)
        session = SurvivingExpert(opener, held)
        self._order.give_way = session.give_way
        self._stack.callback(session.close)
        return session

    def close(self) -> None:
        """Ends those that are open; others may be opened after."""
        self._stack.close()

    def _opener(
        self,
        pool: Pool,
        open_session: OpenSession[S],
        in_order: Callable[[Open[S]], Awaitable[Held[S]]],
    ) -> Opener[S]:
        def on_failover() -> None:
            self._recorder.failed_over()
            self._metrics.failed_over(pool.role)

        return Opener(
            pool,
            open_session,
            self._request.prompt,
            len(self._request.prompt) + self._request.max_tokens,
            self._time_remaining,
            on_failover,
            in_order,
        )

    async def _open_drafter(
        self, law: law_pb2.Law | None, channel: grpc.aio.Channel, timeout_s: float | None
    ) -> DrafterSession:
        session = await GrpcDrafterSession.open(
            channel,
            law or self._request.law,
            self._request.final_token_ids,
            log_probs=self._request.log_probs,
            timeout_s=timeout_s,
            traffic=self.drafter_traffic,
        )
        self._recorder.waited(session.queue_ms)
        return session

    async def _open_expert(
        self, law: law_pb2.Law | None, channel: grpc.aio.Channel, timeout_s: float | None
    ) -> ExpertSession:
        session = await GrpcExpertSession.open(
            channel,
            law or self._request.law,
            self._request.final_token_ids,
            log_probs=self._request.log_probs,
            timeout_s=timeout_s,
            traffic=self.expert_traffic,
        )
        self._recorder.waited(session.queue_ms)
        return session
