"""What a server does with its sessions when it is to end: takes no more, lets those there finish.

A *session* here is any streamed call of the server's own services.  Probes and other short calls
are answered to the end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, TypeAlias

import grpc

from services.errors import PeerLost
from services.serving.status import abort

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]


class Draining(grpc.aio.ServerInterceptor):
    """Counts sessions, and refuses new ones once the server drains."""

    def __init__(self, service_names: Collection[str]) -> None:
        """``service_names``: full names of the services whose streams are sessions."""
        self._names = service_names
        self._sessions = 0
        self._changed = asyncio.Event()
        self._draining = False

    def begin(self) -> None:
        """From now on sessions are refused with UNAVAILABLE: a router then takes another pod."""
        self._draining = True

    async def idle(self, within_s: float) -> bool:
        """Waits until no session is left; False: some are, after ``within_s`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._sessions:
                    self._changed.clear()
                    await self._changed.wait()
        return not self._sessions

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wraps the handlers of sessions."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.rpartition("/")[0][1:]
        if handler is None or not handler.response_streaming or service not in self._names:
            return handler
        if handler.request_streaming:
            wrapped = self._session(handler.stream_stream)
            make: Callable[..., Handler] = grpc.stream_stream_rpc_method_handler
        else:
            wrapped = self._session(handler.unary_stream)
            make = grpc.unary_stream_rpc_method_handler
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _session(self, handle: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def session(request: Any, context: Context) -> AsyncIterator[Any]:
            if self._draining:
                await abort(context, PeerLost("the server takes no new sessions: it is to end"))
            self._sessions += 1
            try:
                async with contextlib.aclosing(handle(request, context)) as responses:
                    async for response in responses:
                        yield response
            finally:
                self._sessions -= 1
                self._changed.set()

        return session
