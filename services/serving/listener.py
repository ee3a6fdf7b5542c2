"""A gRPC server on an address, begun anew where gRPC ends it.

A call whose path is no UTF-8 ends the loop in which grpcio (1.85) takes calls: those that run go
on, and the port is closed for good.  Nobody is told; so it is looked whether it still runs.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import structlog

log = structlog.get_logger()

_LOOK_S = 0.1


class PortInUse(Exception):
    """The address is taken."""


class Listener:
    """One address."""

    def __init__(
        self,
        make: Callable[[], grpc.aio.Server],
        host: str,
        port: int,
        credentials: grpc.ServerCredentials | None,
    ) -> None:
        """Does not listen yet.

        Args:
            make: makes a server with all that it serves.
            host: to listen on.
            port: 0: a free one.
            credentials: of TLS; None: plain.
        """
        self._make = make
        self._host = host
        self._port = port
        self._credentials = credentials
        self._servers: list[grpc.aio.Server] = []
        """The last one listens; calls may still run on those before."""
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Serves from now on; gives the port.

        Raises:
            PortInUse: the address is taken.
        """
        await self._begin()
        self._keeping = asyncio.create_task(self._keep())
        return self._port

    async def stop(self, grace_s: float | None) -> None:
        """Takes no more calls, and ends those that run after so many seconds; None: at once.

        May be called again, to end them sooner.
        """
        if self._keeping is not None:
            self._keeping.cancel()
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))

    async def _begin(self) -> None:
        server = self._make()
        address = f"{self._host}:{self._port}"
        try:
            if self._credentials is None:
                self._port = server.add_insecure_port(address)
            else:
                self._port = server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise PortInUse(f"can't listen on {address}: is the port in use?") from error
        await server.start()
        self._servers.append(server)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            last: Any = self._servers[-1]
            if not last._server.is_running():
                log.error("a call has ended the server: it begins anew", port=self._port)
                with contextlib.suppress(PortInUse):  # it may not be free yet
                    await self._begin()
