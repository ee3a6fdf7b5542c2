"""The life of a gRPC server: start, health, reflection, SIGTERM, drain, stop."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.serving.decoding import Decoding
from services.serving.draining import Draining
from services.serving.health import Health
from services.serving.listener import Listener
from services.serving.options import MORTAL_CONNECTIONS, SERVER_OPTIONS
from services.serving.settings import ServerSettings
from services.serving.tls import server_credentials

log = structlog.get_logger()

_LAST_WORDS_S = 0.5
"""For calls that were told of the end to end."""


AddServicer = Callable[[grpc.aio.Server], None]


class Server:
    """A gRPC server with health and reflection that stops gracefully."""

    def __init__(
        self,
        settings: ServerSettings,
        service_names: list[str],
        *,
        for_clients: bool = False,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Does not listen yet.

        Args:
            settings: addresses, files, grace.
            service_names: full names of what it serves.
            for_clients: its callers reach any of several such servers by one name, and nothing but
                a new connection brings them to another.
            interceptors: of its calls, the outermost first.
            on_end: called when it is told to end.
        """
        self._settings = settings
        self._for_clients = for_clients
        self._on_end = on_end
        self._names = service_names
        self._health = Health()
        self._stop = asyncio.Event()
        self._draining = Draining(service_names)
        self._interceptors = [*interceptors, self._draining, Decoding(service_names)]
        self._servicers: list[AddServicer] = []

    def add(self, servicer: AddServicer) -> None:
        """Serves what this adds to a gRPC server."""
        self._servicers.append(servicer)

    def _make(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=[*SERVER_OPTIONS, *(MORTAL_CONNECTIONS if self._for_clients else ())],
            interceptors=self._interceptors,
        )
        for add in self._servicers:
            add(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        return server

    def _make_probed(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        return server

    def _begin_to_end(self) -> None:
        self._draining.begin()
        self._on_end()
        self._stop.set()

    def _set_health(self, serving: bool) -> None:
        for name in ["", *self._names]:
            self._health.set(name, serving)

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
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_to_end)
        listener = Listener(self._make, settings.host, settings.port, credentials)
        probes = Listener(self._make_probed, settings.host, settings.health_port, None)
        port = await listener.start()
        if settings.health_port >= 0:
            log.info("health", address=f"{settings.host}:{await probes.start()}")
        # What was loaded stays: a full collection that looks at all of it again (0.4 s in a pod)
        # would hold up every session.
        gc.collect()
        gc.freeze()
        self._set_health(healthy())
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
            self._set_health(healthy() and not self._stop.is_set())
        log.info("draining", grace_s=settings.grace_s)
        leaving = None
        if self._for_clients:  # they are told to go, all but their running calls
            leaving = asyncio.create_task(listener.stop(settings.grace_s + 2 * _LAST_WORDS_S))
        if not await self._draining.idle(settings.grace_s):
            log.warning("sessions outlast the grace")
            end_sessions()
            await self._draining.idle(_LAST_WORDS_S)
        await listener.stop(_LAST_WORDS_S)  # who watches the health never ends by himself
        if leaving is not None:
            await leaving
        await probes.stop(None)
        await closing()
        log.info("stopped")


def end_at_once() -> None:
    """Lets SIGTERM end a process that does not serve yet: as PID 1 it would not heed it."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def _write_whole(path: Path, text: str) -> None:
    """Writes a file so that nobody reads half of it."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)
