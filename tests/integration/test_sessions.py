"""Sessions come and go: slots are freed, deadlines hold, processes stop gracefully."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import (
    law_pb2,
    model_pb2_grpc,
)
from cascade.v1 import model_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.client import Client, connected, make_request
from tests.services import TINY, Services, await_port, launch, running
from tests.tls import open_channel

LONG: dict[str, Any] = {
    "prompt": "x" * 10,
    "max_tokens": 480,
    "ignore_end_tokens": True,
    "temperature": 1.0,
}


@pytest.fixture
async def client(tiny_services: Services) -> AsyncIterator[Client]:
    async with connected(tiny_services.address) as client:
        yield client


async def info(address: str) -> pb.GetModelInfoResponse:
    async with open_channel(address) as channel:
        return await model_pb2_grpc.ModelServiceStub(channel).GetModelInfo(pb.GetModelInfoRequest())


async def free_slots(services: Services) -> tuple[int, int]:
    drafter, expert = await asyncio.gather(
        info(services.drafter.address), info(services.expert.address)
    )
    return drafter.slots_free, expert.slots_free


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    """Waits for a condition that has to come true, however slow the machine."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.01)


async def all_free(services: Services) -> None:
    """Waits until nobody holds a slot."""

    async def free() -> bool:
        return await free_slots(services) == (16, 16)

    await eventually(free)


@pytest.mark.parametrize("mode", [law_pb2.MODE_SPECULATIVE, law_pb2.MODE_EXPERT])
async def test_a_client_that_goes_away_frees_both_slots_within_a_step(
    tiny_services: Services, client: Client, mode: int
) -> None:
    """The answer would take hundreds of steps more; the slots are free after a few."""
    assert await free_slots(tiny_services) == (16, 16)
    call = client.stub.Generate(make_request(mode=mode, **LONG))
    tokens = 0
    async for event in call:
        tokens += len(event.tokens.tokens)
        if tokens:
            break
    drafter_free, expert_free = await free_slots(tiny_services)
    assert expert_free == 15
    assert drafter_free == (15 if mode == law_pb2.MODE_SPECULATIVE else 16)
    call.cancel()
    await all_free(tiny_services)


async def test_a_killed_client_process_frees_both_slots(
    tiny_services: Services, tmp_path: Path
) -> None:
    """kill -9: no cancel is sent; the connection's end is enough."""
    script = (
        "from tests.tls import open_blocking_channel\n"
        "from cascade.v1 import router_pb2 as r, router_pb2_grpc as g\n"
        f"c=open_blocking_channel('{tiny_services.address}')\n"
        "for e in g.RouterServiceStub(c).Generate(r.GenerateRequest(text='x'*10,"
        "max_tokens=480,ignore_end_tokens=True,temperature=1,mode='MODE_SPECULATIVE')):\n"
        "    print('token' if e.HasField('tokens') else 'event', flush=True)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while (await process.stdout.readline()).strip() != b"token":
        pass
    assert await free_slots(tiny_services) == (15, 15)
    process.kill()
    await process.wait()
    await all_free(tiny_services)


async def test_a_deadline_ends_the_answer_on_both_engines(
    tiny_services: Services, client: Client
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.generate(timeout_s=0.15, mode=law_pb2.MODE_SPECULATIVE, **LONG)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await all_free(tiny_services)


async def test_more_sessions_than_slots_wait_and_are_all_answered(
    tiny_services: Services, client: Client
) -> None:
    results = await asyncio.gather(
        *(client.generate(prompt="The", max_tokens=8, temperature=1.0, seed=i) for i in range(40))
    )
    alone = [
        await client.generate(prompt="The", max_tokens=8, temperature=1.0, seed=i)
        for i in range(40)
    ]
    assert [r.ids for r in results] == [r.ids for r in alone]


async def test_too_many_waiting_sessions_are_refused(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo, and the accepted ones are answered."""
    flags = ("--device", "cpu", "--dtype", "float32", "--slots", "1", "--max-waiting", "1")
    with running(tmp_path, pod_flags=flags) as services:
        async with connected(services.address) as client:
            outcomes = await asyncio.gather(
                *(
                    client.generate(prompt="The", mode=law_pb2.MODE_EXPERT, max_tokens=100)
                    for _ in range(6)
                ),
                return_exceptions=True,
            )
    refused = [e for e in outcomes if isinstance(e, grpc.aio.AioRpcError)]
    assert len(outcomes) - len(refused) >= 2
    assert refused
    for error in refused:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "slots are taken" in (error.details() or "")


async def test_waiting_for_a_place_at_the_router_counts(tmp_path: Path) -> None:
    """Times are from the call on, however long it waits before anything is done for it."""
    with running(tmp_path, router_flags=("--max-sessions", "1")) as services:
        async with connected(services.address) as client:
            results = await asyncio.gather(
                *(client.generate(mode=law_pb2.MODE_EXPERT, **LONG) for _ in range(2))
            )
    first, waited = sorted(
        (r.finished.statistics for r in results), key=lambda stats: stats.queue_ms
    )
    assert waited.queue_ms > first.total_ms / 2 > first.queue_ms
    assert waited.total_ms > waited.time_to_first_token_ms > first.total_ms / 2


async def test_a_deadline_ends_a_wait_for_a_slot(tmp_path: Path) -> None:
    """Who waited is gone from the queue, and whoever came after is served."""
    flags = ("--device", "cpu", "--dtype", "float32", "--slots", "1")
    with running(tmp_path, pod_flags=flags) as services:
        async with connected(services.address) as client:
            ask = partial(client.generate, prompt="The", mode=law_pb2.MODE_EXPERT)
            long = asyncio.create_task(ask(max_tokens=500))
            await asyncio.sleep(0.05)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(max_tokens=1, timeout_s=0.1)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert not long.done(), "the slot was taken all the time"
            after = asyncio.create_task(ask(max_tokens=4))
            assert len((await long).ids) == 500
            assert len((await after).ids) == 4


async def test_health_and_reflection(tiny_services: Services) -> None:
    """On every server."""
    health_stubs: Any = health_pb2_grpc  # the stubs' types know only synchronous channels
    reflection_stubs: Any = reflection_pb2_grpc
    for process, service in (
        (tiny_services.router, "cascade.v1.RouterService"),
        (tiny_services.drafter, "cascade.v1.DrafterService"),
        (tiny_services.expert, "cascade.v1.ExpertService"),
    ):
        async with open_channel(process.address) as channel:
            check = health_stubs.HealthStub(channel).Check
            for name in ("", service):
                response = await check(health_pb2.HealthCheckRequest(service=name))
                assert response.status == health_pb2.HealthCheckResponse.SERVING
            stub = reflection_stubs.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            )
            async for answer in call:
                names = {s.name for s in answer.list_services_response.service}
                assert service in names


async def test_model_info(tiny_services: Services) -> None:
    drafter, expert = await asyncio.gather(
        info(tiny_services.drafter.address), info(tiny_services.expert.address)
    )
    assert (drafter.role, expert.role) == (pb.ROLE_DRAFTER, pb.ROLE_EXPERT)
    assert drafter.tokenizer_fingerprint == expert.tokenizer_fingerprint
    assert drafter.weights_fingerprint != expert.weights_fingerprint
    for one in (drafter, expert):
        assert (one.vocabulary_size, one.context_length) == (257, 512)
        assert (list(one.end_token_ids), one.dtype, one.device) == ([256], "float32", "cpu")


async def test_sigterm_lets_running_answers_finish(tmp_path: Path) -> None:
    """A router that is told to stop finishes what runs, refuses what is new, and exits 0."""
    with running(tmp_path) as services:
        async with connected(services.address) as client:
            call = client.stub.Generate(make_request(mode=law_pb2.MODE_EXPERT, **LONG))
            stopping: asyncio.Future[int] | None = None
            tokens = 0
            async for event in call:
                tokens += len(event.tokens.tokens)
                if tokens and stopping is None:
                    stopping = asyncio.ensure_future(asyncio.to_thread(services.router.stop))
            assert tokens == 480
            assert stopping is not None
            assert await stopping == 0
        assert await asyncio.to_thread(services.drafter.stop) == 0
        assert await asyncio.to_thread(services.expert.stop) == 0


async def test_different_tokenizers_are_refused_at_the_start(tmp_path: Path) -> None:
    """The router says why, in one line, and exits."""
    other = tmp_path / "other"
    other.mkdir()
    for file in (TINY / "expert").iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    tokenizer = other / "tokenizer.json"
    changed = tokenizer.read_text().replace("<|end|>", "<|END|>")
    assert changed != tokenizer.read_text()
    tokenizer.write_text(changed)
    with (
        pytest.raises(RuntimeError, match=r"different tokenizers.*257 entries each"),
        running(tmp_path, expert=other),
    ):
        pass


async def test_a_port_in_use_is_one_clear_line(tiny_services: Services, tmp_path: Path) -> None:
    port = tiny_services.expert.address.rsplit(":", 1)[1]
    popen = launch(
        "services.expert", "twin", tmp_path, "--model", str(TINY / "expert"), "--port", port
    )
    with pytest.raises(RuntimeError, match=rf"can't listen on 127\.0\.0\.1:{port}"):
        await_port(popen, "twin", tmp_path)
    assert popen.wait(10) == 2
