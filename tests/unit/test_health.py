"""The health that a server tells: to each who watches, whatever the others do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2 as pb

from services.serving.health import Health

CALL: Any = None
"""The context of a call that is not aborted."""


def watch(health: Health, service: str) -> AsyncIterator[pb.HealthCheckResponse]:
    return health.Watch(pb.HealthCheckRequest(service=service), CALL)


async def test_who_takes_nothing_holds_nobody_up() -> None:
    health = Health()
    health.set("a", True)
    slow, quick = watch(health, "a"), watch(health, "a")
    for one in (slow, quick):
        assert (await anext(one)).status == pb.HealthCheckResponse.SERVING
    told = asyncio.ensure_future(anext(quick))
    await asyncio.sleep(0)
    assert not told.done(), "nothing has changed"
    health.set("a", True)
    await asyncio.sleep(0)
    assert not told.done(), "nothing has changed"
    health.set("a", False)
    async with asyncio.timeout(20):
        assert (await told).status == pb.HealthCheckResponse.NOT_SERVING
        request = pb.HealthCheckRequest(service="a")
        assert (await health.Check(request, CALL)).status == pb.HealthCheckResponse.NOT_SERVING
        health.set("a", True)
        assert (await anext(quick)).status == pb.HealthCheckResponse.SERVING
        later = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        assert not later.done(), "it is what it was when it was told last"
        health.set("a", False)
        assert (await later).status == pb.HealthCheckResponse.NOT_SERVING


async def test_a_service_may_be_watched_before_it_is_there() -> None:
    health = Health()
    early = watch(health, "b")
    assert (await anext(early)).status == pb.HealthCheckResponse.SERVICE_UNKNOWN
    health.set("b", True)
    async with asyncio.timeout(20):
        assert (await anext(early)).status == pb.HealthCheckResponse.SERVING
