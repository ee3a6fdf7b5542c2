"""The one table from exception to status code, with rich details, for every server."""

from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.errors import (
    CascadeError,
    DeadlinePassed,
    EngineFailed,
    InvalidField,
    ModelUnsupported,
    NoPodLeft,
    NotServed,
    Overloaded,
    PairMismatch,
    PeerLost,
    Unauthenticated,
)

STATUS_CODES: dict[type[CascadeError], grpc.StatusCode] = {
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    NotServed: grpc.StatusCode.UNIMPLEMENTED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    PeerLost: grpc.StatusCode.UNAVAILABLE,
    NoPodLeft: grpc.StatusCode.UNAVAILABLE,
    EngineFailed: grpc.StatusCode.INTERNAL,
    ModelUnsupported: grpc.StatusCode.FAILED_PRECONDITION,
    PairMismatch: grpc.StatusCode.FAILED_PRECONDITION,
}


def rich_status(error: CascadeError) -> status_pb2.Status:
    """``google.rpc.Status`` with BadRequest or RetryInfo where they apply."""
    code = STATUS_CODES[type(error)]
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=str(error))
    if isinstance(error, InvalidField):
        bad = error_details_pb2.BadRequest()
        for field, text in error.violations:
            bad.field_violations.add(field=field, description=text)
        _pack(status, bad)
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _pack(
    status: status_pb2.Status, detail: error_details_pb2.BadRequest | error_details_pb2.RetryInfo
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: CascadeError) -> None:
    """Ends the call with the error's code and details.  Always raises."""
    rich = rpc_status.to_status(rich_status(error))
    await context.abort(rich.code, rich.details or "", rich.trailing_metadata or ())


_CANNOT_WRITE = "Internal error from Core"
"""What grpcio says, with INTERNAL, where a message can't be sent since the connection is gone."""


def from_rpc_error(error: grpc.aio.AioRpcError, who: str) -> CascadeError:
    """The exception behind a peer's status, so that it can be passed on to a client."""
    details = error.details() or ""
    code = error.code()
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(f"{who}: {details}")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlinePassed(f"{who}: {details}")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return NotServed(f"{who}: {details}")
    gone = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    if gone or (code == grpc.StatusCode.INTERNAL and details == _CANNOT_WRITE):
        return PeerLost(f"{who} is lost: {details}")
    return EngineFailed(f"{who}: {code.name}: {details}")
