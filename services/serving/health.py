"""The health service: what a server says of itself, to all who ask and all who watch.

grpcio's own tells a watcher while it holds the lock of all: one that takes no bytes would hold up
every other, and whoever sets the status.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

Context = grpc.aio.ServicerContext[pb.HealthCheckRequest, pb.HealthCheckResponse]


class Health(health_pb2_grpc.HealthServicer):
    """The status of each service of one server; of the server itself under the empty name."""

    def __init__(self) -> None:
        """No service is known."""
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()

    def set(self, service: str, serving: bool) -> None:
        """Tells it to all who watch."""
        if self._serving.get(service) is not serving:
            self._serving[service] = serving
            self._changed.set()
            self._changed = asyncio.Event()

    def _status(self, service: str) -> Any:
        if service not in self._serving:
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        if self._serving[service]:
            return pb.HealthCheckResponse.SERVING
        return pb.HealthCheckResponse.NOT_SERVING

    async def Check(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> pb.HealthCheckResponse:
        """The status now; NOT_FOUND where there is no such service."""
        status = self._status(request.service)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return pb.HealthCheckResponse(status=status)

    async def Watch(
        self, request: pb.HealthCheckRequest, context: Context
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        """The status now and after each change, until the caller leaves."""
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                told = status
                yield pb.HealthCheckResponse(status=status)
            else:
                await changed.wait()
