"""Serves a router: ``python -m router --drafter HOST:PORT --expert HOST:PORT``."""

import asyncio
import sys
from functools import partial

import structlog
from cascade.v1 import model_pb2, router_pb2, router_pb2_grpc
from pydantic import ValidationError

from router.access import Gate, Guard, load_keys
from router.discovery import discover
from router.metrics import RouterMetrics
from router.pace import Overlap
from router.pair import connect_pair
from router.pool import Pool
from router.servicer import RouterServicer
from router.settings import RouterSettings
from router.text.errors import TextError
from services.errors import CascadeError
from services.serving.listener import PortInUse
from services.serving.logs import configure_logs
from services.serving.metrics import serve_metrics
from services.serving.server import Server, end_at_once
from services.serving.settings import problems, read
from services.serving.slots import Slots
from services.serving.watched import Watched

log = structlog.get_logger()


async def _serve(settings: RouterSettings) -> None:
    name = router_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
    slots = Slots(settings.max_sessions, settings.max_waiting)
    metrics = RouterMetrics(slots)
    guard = _guard(settings, slots, metrics)
    gate = Gate(name, guard, metrics)
    server = Server(settings, [name], for_clients=True, interceptors=[gate])
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
            settings.peer_tls(names),
        )
        for role, names in (
            (model_pb2.ROLE_DRAFTER, settings.drafters),
            (model_pb2.ROLE_EXPERT, settings.experts),
        )
    )
    pair = await connect_pair(drafters, experts, settings.connect_timeout_s)
    overlap = Overlap(settings.draft_ahead, settings.alternatives)
    servicer = RouterServicer(pair, guard, metrics, overlap, settings.unread_limit_s)
    server.add(partial(router_pb2_grpc.add_RouterServiceServicer_to_server, servicer))
    serve_metrics(settings, metrics.registry)

    def healthy() -> bool:
        return not (drafters.refuses_all or experts.refuses_all)

    await server.serve(healthy=healthy, closing=pair.close)


def _guard(settings: RouterSettings, slots: Slots, metrics: RouterMetrics) -> Guard:
    file = settings.api_keys_file
    if not file:
        log.warning("no API keys: whoever reaches this router may ask")
        return Guard(slots, None, metrics)
    return Guard(slots, Watched([file], partial(load_keys, file)), metrics)


def main() -> None:
    """Serves until SIGTERM; exits with one clear line where it can't."""
    configure_logs()
    end_at_once()
    try:
        settings = read(RouterSettings)
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
