"""The life of a gRPC server: start, health, reflection, SIGTERM, drain, stop."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.serving.decoding import Decoding
from services.serving.draining import Draining
from services.serving.options import SERVER_OPTIONS
from services.serving.settings import ServerSettings
from services.serving.tls import server_credentials

log = structlog.get_logger()

_LAST_WORDS_S = 0.5
"""For calls that were told of the end to end."""


class PortInUse(Exception):
    """The address is taken."""


class Server:
    """A gRPC server with health and reflection that stops gracefully."""

    def __init__(self, settings: ServerSettings, service_names: list[str]) -> None:
        self._settings = settings
        self._names = service_names
        self._health = health.aio.HealthServicer()
        self._stop = asyncio.Event()
        self._draining = Draining(service_names)
        self.grpc = grpc.aio.server(
            options=SERVER_OPTIONS, interceptors=[self._draining, Decoding(service_names)]
        )
        """Where servicers are added."""
        self._probes = grpc.aio.server(options=SERVER_OPTIONS)
        for server in (self.grpc, self._probes):
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], self.grpc
        )

    def _begin_to_end(self) -> None:
        self._draining.begin()
        self._stop.set()

    async def _set_health(self, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ["", *self._names]:
            await self._health.set(name, status)

    async def serve(
        self,
        healthy: Callable[[], bool],
        closing: Callable[[], Awaitable[None]],
        end_sessions: Callable[[], None] = lambda: None,
    ) -> None:
        """Serves until SIGTERM or SIGINT, then drains: no new sessions, the others get their grace.

        Args:
            healthy: asked once a second; health follows it.
            closing: called when nothing is served any more.
            end_sessions: called where sessions outlast the grace, to end them with UNAVAILABLE.

        Raises:
            PortInUse: the address is taken.
        """
        settings = self._settings
        if not settings.tls and not settings.loopback:
            log.warning("no TLS: whoever reaches this port may speak", host=settings.host)
        credentials = server_credentials(settings.tls) if settings.tls else None
        port = self._listen(self.grpc, settings.port, credentials)
        if settings.health_port >= 0:
            probed = self._listen(self._probes, settings.health_port, None)
            await self._probes.start()
            log.info("health", address=f"{settings.host}:{probed}")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_to_end)
        await self.grpc.start()
        # What was loaded stays: a full collection that looks at all of it again (0.4 s in a pod)
        # would hold up every session.
        gc.collect()
        gc.freeze()
        await self._set_health(healthy())
        if settings.port_file:
            _write_whole(Path(settings.port_file), str(port))
        log.info(
            "serving",
            address=f"{settings.host}:{port}",
            tls=bool(settings.tls),
            mutual=bool(settings.tls_ca),
        )
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)
            await self._set_health(healthy() and not self._stop.is_set())
        log.info("draining", grace_s=settings.grace_s)
        if not await self._draining.idle(settings.grace_s):
            log.warning("sessions outlast the grace")
            end_sessions()
            await self._draining.idle(_LAST_WORDS_S)
        await self.grpc.stop(_LAST_WORDS_S)  # who watches the health never ends by himself
        await self._probes.stop(None)
        await closing()
        log.info("stopped")

    def _listen(
        self, server: grpc.aio.Server, port: int, credentials: grpc.ServerCredentials | None
    ) -> int:
        """Gives the port that was taken.

        Raises:
            PortInUse: the address is taken.
        """
        address = f"{self._settings.host}:{port}"
        try:
            if credentials is None:
                return int(server.add_insecure_port(address))
            return int(server.add_secure_port(address, credentials))
        except RuntimeError as error:
            raise PortInUse(f"can't listen on {address}: is the port in use?") from error


def _write_whole(path: Path, text: str) -> None:
    """Writes a file so that nobody reads half of it."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)
