"""Serves a router: ``python -m router --drafter HOST:PORT --expert HOST:PORT``."""

import asyncio
import sys

import structlog
from cascade.v1 import model_pb2, router_pb2, router_pb2_grpc
from pydantic import ValidationError

from router.discovery import discover
from router.metrics import RouterMetrics
from router.pace import Overlap
from router.pair import connect_pair
from router.pool import Pool
from router.servicer import RouterServicer
from router.settings import RouterSettings
from router.text.errors import TextError
from services.errors import CascadeError
from services.serving.logs import configure_logs
from services.serving.metrics import serve_metrics
from services.serving.server import PortInUse, Server
from services.serving.settings import problems

log = structlog.get_logger()


async def _serve(settings: RouterSettings) -> None:
    name = router_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
    server = Server(settings, [name])
    metrics = RouterMetrics()
    drafters, experts = (
        Pool(
            role,
            discover(
                settings.discovery,
                names,
                namespace=settings.namespace,
                every_s=settings.resolve_every_s,
            ),
            metrics.pods,
            settings.zone,
        )
        for role, names in (
            (model_pb2.ROLE_DRAFTER, settings.drafters),
            (model_pb2.ROLE_EXPERT, settings.experts),
        )
    )
    pair = await connect_pair(drafters, experts, settings.connect_timeout_s)
    overlap = Overlap(settings.draft_ahead, settings.alternatives)
    servicer = RouterServicer(pair, metrics, overlap)
    router_pb2_grpc.add_RouterServiceServicer_to_server(servicer, server.grpc)
    serve_metrics(settings, metrics.registry)
    await server.serve(healthy=lambda: True, closing=pair.close)


def main() -> None:
    """Serves until SIGTERM; exits with one clear line where it can't."""
    configure_logs()
    try:
        settings = RouterSettings()  # type: ignore[call-arg]  # the rest comes from flags
        log.info("settings", **settings.model_dump())
        asyncio.run(_serve(settings))
    except ValidationError as error:
        print("\n".join(problems(error)), file=sys.stderr)
        sys.exit(2)
    except (CascadeError, TextError, PortInUse) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
