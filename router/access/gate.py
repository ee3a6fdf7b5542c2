"""Refuses a call whose key is not known before anything of its message is read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog

from router.access.guard import Guard
from router.metrics import RouterMetrics
from services.errors import Unauthenticated
from services.serving.status import abort

log = structlog.get_logger()

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]


class Gate(grpc.aio.ServerInterceptor):
    """Before the calls of one service."""

    def __init__(self, service: str, guard: Guard, metrics: RouterMetrics) -> None:
        """``service``: its full name; health and reflection have no keys."""
        self._service = service
        self._guard = guard
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Puts another handler into the place of one that is not to be called."""
        if handler_call_details.method.rpartition("/")[0][1:] == self._service:
            try:
                self._guard.identify(tuple(handler_call_details.invocation_metadata or ()))
            except Unauthenticated as error:
                return grpc.stream_stream_rpc_method_handler(self._refusing(error))
        return await continuation(handler_call_details)

    def _refusing(
        self, error: Unauthenticated
    ) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        async def refuse(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            self._metrics.failed(error)
            log.info("refused", error=type(error).__name__, text=str(error))
            await abort(context, error)
            yield b""

        return refuse
