"""Prometheus metrics on a port of their own."""

import structlog
from prometheus_client import CollectorRegistry, start_http_server

from services.serving.listener import PortInUse
from services.serving.settings import ServerSettings

log = structlog.get_logger()

PREFIX = "cascade:"
"""Of all names.  What follows is vLLM's name where vLLM has the metric."""


def serve_metrics(settings: ServerSettings, registry: CollectorRegistry) -> None:
    """Serves a registry over HTTP from a thread of its own, if the settings name a port.

    Raises:
        PortInUse: the port is taken.
    """
    if settings.metrics_port < 0:
        return
    try:
        server, _ = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        raise PortInUse(
            f"can't serve metrics on {settings.host}:{settings.metrics_port}: {error.strerror}"
        ) from error
    log.info("metrics", address=f"{settings.host}:{server.server_port}")
