"""What neither ends nor goes on: a pass of a pod, and a client that does not read."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import law_pb2, router_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.client import connected, make_request
from tests.services import starting
from tests.tls import open_channel
from tests.until import until

PASS_MS = 30_000
"""Longer than the test waits for a process to end."""


async def health(address: str) -> Any:
    stubs: Any = health_pb2_grpc  # the stubs' types know only synchronous channels
    async with open_channel(address) as channel:
        answer = await stubs.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        return answer.status


@pytest.mark.timeout(120)
async def test_a_pod_whose_pass_does_not_end_gives_up_and_answers_go_on_elsewhere(
    tmp_path: Path,
) -> None:
    """Its event loop answers all questions meanwhile: nothing else tells of it."""
    with starting(tmp_path) as start:
        drafter = start("drafter", "--simulate.pass-ms", "1")
        good = start("expert-good", "--simulate.pass-ms", "1")
        bad = start("expert-bad", "--simulate.pass-ms", str(PASS_MS), "--pass-limit-s", "1")
        experts = f"{good.address},{bad.address}"
        router = start("router", "--drafter", drafter.address, "--expert", experts)
        async with connected(router.address) as client:
            results = await asyncio.gather(
                *(
                    client.generate(prompt=[n, 1, 2], mode=mode, max_tokens=20)
                    for n in range(8)
                    for mode in (law_pb2.MODE_EXPERT, law_pb2.MODE_SPECULATIVE)
                )
            )
            for answer, other in zip(results[::2], results[1::2], strict=True):
                assert len(answer.ids) == 20
                assert other.ids == answer.ids
            assert sum(result.finished.statistics.failovers for result in results)
            assert await health(bad.address) == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await health(good.address) == health_pb2.HealthCheckResponse.SERVING
            assert "a pass does not end" in bad.log.read_text()
            assert bad.stop() == 0
            again = await client.generate(prompt=[0, 1, 2], mode=law_pb2.MODE_EXPERT, max_tokens=20)
            assert again.ids == results[0].ids


@pytest.mark.timeout(120)
async def test_a_client_that_does_not_read_loses_its_place(tmp_path: Path) -> None:
    """It holds the only one, without a deadline."""
    with starting(tmp_path) as start:
        pods = {name: start(name, "--simulate.pass-ms", "0") for name in ("drafter", "expert")}
        flags = [f"--{name}={pod.address}" for name, pod in pods.items()]
        router = start("router", *flags, "--unread-limit-s", "1", "--max-sessions", "1")
        long = make_request(
            prompt=[1],
            max_tokens=4000,
            ignore_end_tokens=True,
            log_probs=True,
            mode=law_pb2.MODE_EXPERT,
        )
        # What is on its way to the client is little.
        small = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1 << 14))
        async with (
            open_channel(router.address, *small) as channel,
            connected(router.address) as other,
        ):
            stub = router_pb2_grpc.RouterServiceStub(channel)
            unread: Any = stub.Generate(long)
            assert (await unread.read()).HasField("started")
            answer = await other.generate(prompt=[2], max_tokens=4, mode=law_pb2.MODE_EXPERT)
            assert len(answer.ids) == 4
            await until(lambda: "has let a response wait" in router.log.read_text())

            async def read_on() -> None:
                while not (await unread.read()).HasField("finished"):
                    pass

            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await read_on()
            assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert "has let a response wait for 1 s" in (ended.value.details() or "")
