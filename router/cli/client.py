"""Calls to the services: health, model information, answers; and their errors in one line."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from cascade.v1 import model_pb2, model_pb2_grpc, router_pb2, router_pb2_grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from router.cli.errors import CallFailed, NotRunning, UsageError
from router.cli.processes import find
from router.cli.state import StateStore
from services.serving.access import Access
from services.serving.channels import PLAIN, ClientTls, open_blocking_channel

_PROBE_S = 2.0


@contextmanager
def channel_to(address: str, tls: ClientTls = PLAIN) -> Iterator[grpc.Channel]:
    """A channel for as long as the block runs."""
    with open_blocking_channel(address, tls) as channel:
        yield channel


def health(address: str) -> str:
    """``serving``, ``not serving``, or why it can't be known."""
    with channel_to(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=_PROBE_S)
        except grpc.RpcError as error:
            return _words(_code(error).name)
    return _words(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def model_info(address: str) -> model_pb2.GetModelInfoResponse | None:
    """What a drafter or an expert says of itself; None if it does not answer."""
    with channel_to(address) as channel:
        try:
            return model_pb2_grpc.ModelServiceStub(channel).GetModelInfo(
                model_pb2.GetModelInfoRequest(), timeout=_PROBE_S
            )
        except grpc.RpcError:
            return None


@dataclass(frozen=True)
class Target:
    """A router to call."""

    address: str
    """host:port."""
    access: Access | None = None
    """None for the one that runs here, which is plain and open."""


def find_router(given: str | None, store: StateStore) -> Target:
    """The router at the given address, or the one that runs here.

    Raises:
        NotRunning: none was given, and none runs.
    """
    if given:
        return Target(given, Access())
    state = store.read()
    router = state.service("router") if state else None
    if router is None or router.address is None or find(router) is None:
        raise NotRunning("no router runs here: start one with `cascade up`, or give --address")
    return Target(router.address)


@contextmanager
def generating(
    target: Target, request: router_pb2.GenerateRequest
) -> Iterator[Iterable[router_pb2.GenerateResponse]]:
    """A call of ``Generate``; leaving the block closes its channel, which cancels it.

    Raises:
        CallFailed: the call ended with an error while the block read it.
        UsageError: TLS or the API key is not usable as given.
    """
    try:
        tls = target.access.tls if target.access else PLAIN
        metadata = target.access.metadata(target.address) if target.access else ()
    except ValueError as error:
        raise UsageError(str(error)) from error
    with channel_to(target.address, tls) as channel:
        try:
            yield router_pb2_grpc.RouterServiceStub(channel).Generate(request, metadata=metadata)
        except grpc.RpcError as error:
            raise CallFailed(explain(error, target.address)) from error


def explain(error: grpc.RpcError, address: str) -> str:
    """A failed call in one line."""
    code, details = _code(error), _details(error)
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    if status is None and code == grpc.StatusCode.UNAVAILABLE:
        why = " ".join(details.split())
        return f"can't reach a router at {address} ({why}); `cascade up` starts one"
    rich: list[any_pb2.Any] = [] if status is None else list(status.details)
    notes: list[str] = []
    for detail in rich:
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            fields = [f"{field.field}: {field.description}" for field in bad.field_violations]
            details = "; ".join(fields) or details
        elif detail.Unpack(retry):
            notes.append(f"try again in {retry.retry_delay.ToMilliseconds() / 1000:g} s")
    return " ".join("; ".join([f"{_words(code.name)}: {details}", *notes]).split())


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    return error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN


def _details(error: grpc.RpcError) -> str:
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    return details or "no details"


def _words(name: str) -> str:
    """``not serving`` for ``NOT_SERVING``."""
    return name.replace("_", " ").lower()
