"""Follows one pod: is it there, does it serve, what is its load."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import structlog
from cascade.v1 import model_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.backoff import Backoff
from router.pool.pod import Pod

log = structlog.get_logger()

EVERY_S = 1.0
"""Between two reports of a pod's load."""
_ASK_S = 2.0

Report = Callable[[Pod, pb.GetModelInfoResponse], None]


async def follow(
    pod: Pod, report: Report, changed: Callable[[], None], lost: Callable[[], None]
) -> None:
    """Until it is cancelled.

    Args:
        pod: whose state it keeps.
        report: takes what the pod says of itself.
        changed: told after every change.
        lost: told when it was reached, and is no more.
    """
    refreshing = asyncio.create_task(_refresh(pod, report, changed))
    try:
        await _watch(pod, report, changed, lost)
    finally:
        refreshing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await refreshing


async def _watch(
    pod: Pod, report: Report, changed: Callable[[], None], lost: Callable[[], None]
) -> None:
    """Its health, as it tells it.  The end of this stream is how a dead pod is known at once."""
    health: Any = health_pb2_grpc.HealthStub(pod.channel)  # its types lack Watch
    backoff = Backoff(0.1, 2.0)
    while True:
        with _noted(pod):
            call = health.Watch(health_pb2.HealthCheckRequest())
            try:
                async for response in call:
                    if pod.info is None:  # it may be another process than before
                        report(pod, await pod.ask(_ASK_S))
                        pod.answers = True
                    pod.serving = response.status == health_pb2.HealthCheckResponse.SERVING
                    backoff.reset()
                    changed()
            finally:
                call.cancel()
        if pod.info is not None:
            lost()
        pod.info, pod.serving = None, False
        changed()
        await asyncio.sleep(backoff.next_s())


async def _refresh(pod: Pod, report: Report, changed: Callable[[], None]) -> None:
    """Its load, again and again."""
    pause = Backoff(EVERY_S, EVERY_S)
    while True:
        await asyncio.sleep(pause.next_s())
        if pod.info is None:
            continue
        answers = False
        with _noted(pod):
            info = await pod.ask(_ASK_S)
            if pod.info is not None:
                report(pod, info)
            answers = True
        pod.answers = answers
        changed()


@contextlib.contextmanager
def _noted(pod: Pod) -> Iterator[None]:
    """What a pod that can't be reached, or says what nobody understands, is followed on after."""
    try:
        yield
    except grpc.aio.AioRpcError:
        pass
    except Exception:
        log.exception("a pod can't be followed", address=pod.address)
