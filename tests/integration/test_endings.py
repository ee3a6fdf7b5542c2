"""Processes that are to end, and pods that come back as others: who is told, and goes where."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import expert_pb2, expert_pb2_grpc, law_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.relay import Relay
from tests.client import connected, make_request
from tests.services import TINY, launch, starting
from tests.tls import open_channel
from tests.until import until

EXPERT = law_pb2.MODE_EXPERT
CPU = ("--device", "cpu", "--dtype", "float32")


@pytest.mark.timeout(120)
async def test_a_router_that_ends_sends_its_clients_to_another(tmp_path: Path) -> None:
    """They have one connection, and a name behind which there are several routers."""
    with starting(tmp_path) as start:
        drafter = start("drafter", "--simulate.pass-ms", "1")
        expert = start("expert", "--simulate.pass-ms", "20")
        flags = ("--drafter", drafter.address, "--expert", expert.address, "--grace-s", "60")
        old, new = start("router-old", *flags), start("router-new", *flags)
        with Relay(old.address) as relay:
            async with connected(relay.address) as client:
                request = make_request(prompt=[1], mode=EXPERT, max_tokens=400)
                long: Any = client.stub.Generate(request)
                while not (await long.read()).HasField("tokens"):
                    pass
                relay.target = new.address
                stopping = asyncio.create_task(asyncio.to_thread(old.stop))
                found: list[int] = []

                async def answered() -> bool:
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        result = await client.generate(prompt=[2], mode=EXPERT, max_tokens=3)
                        found.extend(result.ids)
                    return bool(found)

                await until(answered)
                assert len(found) == 3
                assert not stopping.done(), "while the old one still answers"
                while not (last := await long.read()).HasField("finished"):
                    pass
                assert last.finished.usage.completion_tokens == 400
                assert await stopping == 0


@pytest.mark.timeout(120)
async def test_who_waits_at_a_pod_that_ends_is_told_at_once(tmp_path: Path) -> None:
    """There may be another with room; the session that has the slot keeps it."""
    opening = expert_pb2.OpenVerify(law=law_pb2.Law(mode=EXPERT, candidates=1, top_p=1.0))
    with starting(tmp_path) as start:
        pod = start("expert", "--model", str(TINY / "expert"), *CPU, "--slots", "1")
        stubs: Any = expert_pb2_grpc
        async with open_channel(pod.address) as channel:
            first, second = (stubs.ExpertServiceStub(channel).Verify() for _ in range(2))
            await first.write(expert_pb2.VerifyRequest(open=opening))
            assert (await first.read()).HasField("opened")
            await second.write(expert_pb2.VerifyRequest(open=opening))
            waiting = asyncio.ensure_future(second.read())
            await asyncio.sleep(0.3)
            assert not waiting.done()
            stopping = asyncio.create_task(asyncio.to_thread(pod.stop))
            await asyncio.wait([waiting])
            assert await second.code() == grpc.StatusCode.UNAVAILABLE
            step = expert_pb2.DecodeStep(step_id=1, append=[5], prefix_hash=0, max_tokens=1)
            await first.write(expert_pb2.VerifyRequest(decode=step))
            assert (await first.read()).WhichOneof("result") is not None
            assert not stopping.done()
            await first.done_writing()
            assert await stopping == 0


async def test_a_router_that_still_waits_for_its_pods_ends_when_told(tmp_path: Path) -> None:
    """As the first process of a container it would be deaf without a handler."""
    popen = launch("router", "router", tmp_path, "--drafter", "127.0.0.1:1", "--expert", "[::1]:1")
    try:
        log = tmp_path / "router.log"
        await until(lambda: "no API keys" in log.read_text())
        popen.terminate()
        assert await asyncio.to_thread(popen.wait, 20) == 128 + 15
    finally:
        popen.kill()


@pytest.mark.timeout(120)
async def test_a_router_all_of_whose_pods_became_others_is_not_healthy(tmp_path: Path) -> None:
    """Begun anew, it would take them."""
    stubs: Any = health_pb2_grpc
    with starting(tmp_path) as start:
        drafter = start("drafter", "--model", str(TINY / "drafter"), *CPU)
        expert = start("expert", "--model", str(TINY / "expert"), *CPU)
        router = start("router", "--drafter", drafter.address, "--expert", expert.address)
        async with open_channel(router.address) as channel:

            async def status() -> Any:
                check = stubs.HealthStub(channel).Check
                return (await check(health_pb2.HealthCheckRequest())).status

            assert await status() == health_pb2.HealthCheckResponse.SERVING
            assert await asyncio.to_thread(expert.stop) == 0
            port = expert.address.rpartition(":")[2]
            start("expert-other", "--model", str(TINY / "drafter"), *CPU, "--port", port)

            async def is_ill() -> bool:
                return bool(await status() == health_pb2.HealthCheckResponse.NOT_SERVING)

            await until(is_ill)
        assert "serves another model" in router.log.read_text()
