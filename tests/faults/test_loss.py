"""No pod of a role is left, or none that may replace another; a pod that is to end."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import (
    drafter_pb2,
    drafter_pb2_grpc,
    law_pb2,
    model_pb2,
    model_pb2_grpc,
    router_pb2,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.serving import law as laws
from tests import services
from tests.client import Client, connected, make_request
from tests.faults.pods import Pod, running_pods
from tests.integration.test_metrics import events
from tests.services import await_port, launch
from tests.tls import open_channel
from tests.until import until

PROMPT = "def main("
TOKENS = 120


@dataclass
class Small:
    """One drafter, one expert, and an address where another drafter may be."""

    drafter: Pod
    expert: Pod
    spare: Pod
    router: str
    metrics: str
    log: Path

    def count(self, text: str) -> int:
        """The sum of the router's metrics with that in their line."""
        with urllib.request.urlopen(self.metrics) as page:
            lines = page.read().decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if text in line))

    async def settled(self) -> None:
        """Waits until both pods are available."""
        await until(lambda: self._available(2))

    async def _available(self, count: int) -> bool:
        return await asyncio.to_thread(self.count, 'state="available"') == count


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    folder: Path = tmp_path_factory.mktemp("loss")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setitem(services.ENVIRONMENT, "CASCADE_LOG_LEVEL", "INFO")
        with running_pods(folder, 2) as pods:
            drafter, spare, expert, unused = pods
            unused.kill()
            spare.kill()
            spare.model = "expert"
            flags = ["--drafter", f"{drafter.relay.address},{spare.relay.address}"]
            flags += ["--expert", expert.relay.address, "--metrics-port", "0"]
            popen = launch("router", "router", folder, *flags)
            try:
                router = await_port(popen, "router", folder)
                (told,) = events(router.log, "metrics")
                metrics = f"http://{told['address']}/metrics"
                yield Small(drafter, expert, spare, router.address, metrics, router.log)
            finally:
                popen.kill()
                popen.wait(30)


@pytest.fixture
async def client(small: Small) -> AsyncIterator[Client]:
    await small.settled()
    async with connected(small.router) as client:
        yield client


async def lose(
    client: Client, pod: Pod, **fields: Any
) -> tuple[list[router_pb2.GeneratedToken], router_pb2.Finished]:
    """An answer, in the middle of which a pod is killed; it is started again at the end.

    Raises:
        grpc.aio.AioRpcError: the answer ended so.
    """
    tokens: list[router_pb2.GeneratedToken] = []
    finished = router_pb2.Finished()
    request = make_request(
        prompt=PROMPT, max_tokens=TOKENS, ignore_end_tokens=True, **{"seed": 3} | fields
    )
    try:
        async for event in client.stub.Generate(request, timeout=60):
            tokens += event.tokens.tokens
            if event.HasField("finished"):
                finished = event.finished
            if tokens and pod.process.is_alive():
                await asyncio.to_thread(pod.kill)
    finally:
        if not pod.process.is_alive():
            pod.start()
    assert 0 < len(tokens) == finished.usage.completion_tokens
    return tokens, finished


async def undisturbed(client: Client, mode: int) -> list[int]:
    result = await client.generate(
        prompt=PROMPT, mode=mode, max_tokens=TOKENS, ignore_end_tokens=True, seed=3
    )
    return result.ids


async def test_without_a_drafter_the_lossless_answer_goes_on(small: Small, client: Client) -> None:
    expected = await undisturbed(client, law_pb2.MODE_EXPERT)
    tokens, finished = await lose(
        client, small.drafter, mode=law_pb2.MODE_SPECULATIVE, allow_expert_alone=True
    )
    assert [token.id for token in tokens] == expected
    assert "no drafter is left" in finished.statistics.alone_reasons
    assert not any(token.alone for token in tokens), "the law is the same"
    assert not finished.statistics.HasField("seed_ended_at")


async def test_where_the_law_would_change_it_is_unavailable(small: Small, client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lose(client, small.drafter, mode=law_pb2.MODE_SPECULATIVE_CASCADE)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "no drafter is left" in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("role", "mode", "origin"),
    [
        ("drafter", law_pb2.MODE_SPECULATIVE_CASCADE, "ORIGIN_EXPERT"),
        ("drafter", law_pb2.MODE_DRAFTER, "ORIGIN_EXPERT"),
        ("expert", law_pb2.MODE_SPECULATIVE, "ORIGIN_DRAFTER"),
        ("expert", law_pb2.MODE_EXPERT, "ORIGIN_DRAFTER"),
    ],
)
async def test_where_it_is_asked_to_the_other_goes_on_and_says_so(
    small: Small, client: Client, role: str, mode: int, origin: str
) -> None:
    before = await undisturbed(client, mode)
    pod = small.drafter if role == "drafter" else small.expert
    choice = {f"on_{role}_loss": router_pb2.ON_LOSS_CONTINUE}
    tokens, finished = await lose(client, pod, mode=mode, **choice)
    assert len(tokens) == TOKENS
    alone = [token.alone for token in tokens]
    first = alone.index(True)
    assert all(alone[first:]), "from the loss on"
    assert not any(alone[:first])
    assert [token.id for token in tokens[:first]] == before[:first]
    assert finished.statistics.seed_ended_at == first
    assert f"no {role} is left" in finished.statistics.alone_reasons
    assert finished.statistics.tokens_by_origin[origin] >= TOKENS - first


async def test_an_expert_that_is_lost_fails_by_default(small: Small, client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lose(client, small.expert, mode=law_pb2.MODE_SPECULATIVE)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "no expert is left" in (caught.value.details() or "")


async def test_a_pod_with_other_weights_replaces_none(small: Small, client: Client) -> None:
    small.spare.start()
    refusals = 'cascade:pods_refused_total{role="drafter"}'

    async def is_refused() -> bool:
        return await asyncio.to_thread(small.count, refusals) > 0

    await until(is_refused)
    (refused,) = events(small.log, "pod refused")
    assert "weights" in str(refused["why"])
    assert "tokenizer" not in str(refused["why"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lose(client, small.drafter, mode=law_pb2.MODE_DRAFTER)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    small.spare.kill()


async def test_a_pod_that_is_to_end_takes_none_and_ends_what_remains(small: Small) -> None:
    """With UNAVAILABLE, so that routers go on elsewhere; health says so at once."""
    await small.settled()
    pod = small.drafter
    law = laws.with_defaults(
        law_pb2.Law(mode=law_pb2.MODE_DRAFTER, candidates=64, top_p=1.0), alpha_given=False
    )
    opening = drafter_pb2.DraftRequest(open=drafter_pb2.OpenDraft(law=law))
    async with grpc.aio.insecure_channel(pod.relay.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack Watch
        stub = drafter_pb2_grpc.DrafterServiceStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        first = stub.Draft()
        await first.write(opening)
        response = await first.read()
        assert isinstance(response, drafter_pb2.DraftResponse)
        assert response.HasField("opened")
        stopping = asyncio.create_task(asyncio.to_thread(pod.stop))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        second = stub.Draft()  # a write might come after its end, and then fail by itself
        assert await second.code() == grpc.StatusCode.UNAVAILABLE
        assert "no new sessions" in (await second.details() or "")
        assert await first.code() == grpc.StatusCode.UNAVAILABLE
        assert "grace is over" in (await first.details() or "")
        assert await stopping == 0
        watch.cancel()
    pod.start()


async def test_two_answers_never_wait_for_each_others_slots(tmp_path: Path) -> None:
    """One has the only expert's slot and loses its drafter; the other one has the only drafter left
    and waits for the expert's."""
    with running_pods(tmp_path, 2, slots=1) as pods:
        *drafters, expert, unused = pods
        unused.kill()
        flags = ["--drafter", ",".join(pod.relay.address for pod in drafters)]
        popen = launch("router", "router", tmp_path, *flags, "--expert", expert.relay.address)
        try:
            router = await_port(popen, "router", tmp_path)
            async with connected(router.address) as client:

                async def answered(prompt: str) -> list[int]:
                    asked = make_request(
                        prompt=prompt,
                        max_tokens=300,
                        block_length=1,
                        ignore_end_tokens=True,
                        seed=3,
                    )
                    ids: list[int] = []
                    async for event in client.stub.Generate(asked, timeout=60):
                        ids += [token.id for token in event.tokens.tokens]
                        if ids:  # the first event comes before the sessions are opened
                            begun.set()
                    return ids

                prompts, answers = ("def main(", "import re"), []
                for prompt in prompts:
                    begun = asyncio.Event()
                    answers.append(asyncio.create_task(answered(prompt)))
                    if len(answers) == 1:
                        await begun.wait()
                        (held,) = [pod for pod in drafters if not (await load(pod)).slots_free]
                await until(lambda: waits(expert))
                await asyncio.to_thread(held.kill)
                both = [await answer for answer in answers]
                undisturbed = [await answered(prompt) for prompt in prompts]
        finally:
            popen.kill()
            popen.wait(30)
    assert both == undisturbed


async def load(pod: Pod) -> model_pb2.GetModelInfoResponse:
    """What a pod says of itself."""
    async with open_channel(pod.relay.address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        return await stub.GetModelInfo(model_pb2.GetModelInfoRequest())


async def waits(pod: Pod) -> bool:
    """Whether a session waits for a slot there."""
    return (await load(pod)).sessions_waiting > 0
