"""Requests whose bytes are no message: a caller's mistake, of which gRPC tells as UNKNOWN."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from services.errors import InvalidField
from services.serving.status import abort

NO_MESSAGE = ("request", "its bytes are no message of this service")
"""What is wrong with a message that can't be read."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]


class Decoding(grpc.aio.ServerInterceptor):
    """Reads the requests of calls that have one.  Streams of them are read where they are used."""

    def __init__(self, service_names: Collection[str]) -> None:
        """``service_names``: full names of the services that it does so for."""
        self._names = service_names

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wraps the handlers of such calls."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.rpartition("/")[0][1:]
        if handler is None or handler.request_streaming or service not in self._names:
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _streamed(handler), None, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(_one(handler), None, handler.response_serializer)


def _streamed(handler: Handler) -> Callable[[bytes, Context], AsyncIterator[Any]]:
    handle: Any = handler.unary_stream

    async def stream(data: bytes, context: Context) -> AsyncIterator[Any]:
        request = await _read(handler, data, context)
        async with contextlib.aclosing(handle(request, context)) as responses:
            async for response in responses:
                yield response

    return stream


def _one(handler: Handler) -> Callable[[bytes, Context], Awaitable[Any]]:
    handle: Any = handler.unary_unary

    async def one(data: bytes, context: Context) -> Any:
        return await handle(await _read(handler, data, context), context)

    return one


async def _read(handler: Handler, data: bytes, context: Context) -> Any:
    parse: Any = handler.request_deserializer
    try:
        return parse(data)
    except DecodeError:
        await abort(context, InvalidField(NO_MESSAGE))
