"""Static, DNS, and Kubernetes by a server that speaks its protocol."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from router.backoff import Backoff
from router.discovery import Discovery, Endpoint, View
from router.discovery.dns import DnsDiscovery, resolve
from router.discovery.kubernetes import KubernetesDiscovery, api
from router.discovery.slices import Slices
from router.discovery.static import StaticDiscovery
from services.errors import PeerLost
from tests.kube_api import KubeApi, endpoint
from tests.until import until


class Seen:
    """The newest view of a discovery."""

    def __init__(self) -> None:
        self.view: View = {}
        self.count = 0
        self._changed = asyncio.Event()

    async def follow(self, discovery: Discovery) -> None:
        async for view in discovery.views():
            self.view, self.count = view, self.count + 1
            self._changed.set()

    async def until(self, right: Callable[[View], bool]) -> View:
        """Waits for a view that is right; the test's own limit ends a wait for nothing."""
        while not right(self.view):
            self._changed.clear()
            await self._changed.wait()
        return self.view


@asynccontextmanager
async def following(discovery: Discovery) -> AsyncIterator[Seen]:
    seen = Seen()
    task = asyncio.create_task(seen.follow(discovery))
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ready(view: View) -> set[str]:
    return {address for address, pod in view.items() if pod.ready}


async def test_a_list_is_what_it_is() -> None:
    async with following(StaticDiscovery(["a:1", "b:2"])) as seen:
        view = await seen.until(bool)
        assert view == {"a:1": Endpoint("a:1"), "b:2": Endpoint("b:2")}


async def test_the_systems_resolver_knows_the_loopback() -> None:
    assert "127.0.0.1" in await resolve("localhost", 50051)
    with pytest.raises(OSError, match=r".+"):
        await resolve("no-such-name.invalid", 50051)


async def test_a_name_is_looked_up_again_and_at_once_after_a_failure() -> None:
    answers: list[list[str] | OSError] = [["10.0.0.1"], OSError("no answer"), ["10.0.0.2", "::1"]]
    asked: list[tuple[str, int]] = []

    async def scripted(host: str, port: int) -> list[str]:
        asked.append((host, port))
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, OSError):
            raise answer
        return answer

    discovery = DnsDiscovery(["drafter.cascade:50051"], every_s=3600, resolve=scripted)
    async with following(discovery) as seen:
        await seen.until(bool)
        assert set(seen.view) == {"10.0.0.1:50051"}
        while len(asked) < 3:
            discovery.look_again()
            await asyncio.sleep(0.01)
        await seen.until(lambda view: len(view) == 2)
        assert set(seen.view) == {"10.0.0.2:50051", "[::1]:50051"}
        assert seen.count == 2, "a look that fails changes nothing"
        assert set(asked) == {("drafter.cascade", 50051)}


@given(st.integers(1, 12), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_to_its_limit_and_is_never_less_than_half(n: int, draw: float) -> None:
    backoff = Backoff(0.5, 8.0, lambda: draw)
    delays = [backoff.next_s() for _ in range(n)]
    for i, delay in enumerate(delays):
        top = min(0.5 * 2**i, 8.0)
        assert top / 2 <= delay <= top
    backoff.reset()
    assert backoff.next_s() == delays[0]


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi("models") as kube:
        yield kube


@pytest.fixture
def slices_api(
    kube: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[client.DiscoveryV1Api]:
    path = kube.kubeconfig(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = api()
    yield found
    found.api_client.rest_client.pool_manager.clear()


@pytest.fixture
async def seen(slices_api: client.DiscoveryV1Api) -> AsyncIterator[Seen]:
    async with following(KubernetesDiscovery(slices_api, "drafter", "models")) as seen:
        yield seen


async def test_pods_come_become_ready_terminate_and_vanish(kube: KubeApi, seen: Seen) -> None:
    kube.put("other-1", "expert", endpoint("10.9.9.9"))
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1", ready=False))
    await seen.until(lambda view: set(view) == {"10.0.0.1:50051"})
    assert ready(seen.view) == set()
    both = [endpoint("10.0.0.1", zone="a"), endpoint("10.0.0.2", ready=None, zone="b")]
    kube.put("drafter-1", "drafter", *both)
    await seen.until(lambda view: len(ready(view)) == 2)
    assert {pod.zone for pod in seen.view.values()} == {"a", "b"}
    ends = endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
    kube.put("drafter-1", "drafter", ends, both[1])
    await seen.until(lambda view: ready(view) == {"10.0.0.2:50051"})
    assert seen.view["10.0.0.1:50051"].terminating
    kube.put("drafter-1", "drafter", both[1])
    await seen.until(lambda view: set(view) == {"10.0.0.2:50051"})
    kube.delete("drafter-1")
    await seen.until(lambda view: not view)


async def test_a_cut_watch_misses_nothing(kube: KubeApi, seen: Seen) -> None:
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1"))
    await seen.until(lambda view: len(view) == 1)

    async def move(n: int) -> None:
        lists = kube.lists
        kube.cut()
        kube.put("drafter-1", "drafter", endpoint(f"10.0.0.{n}"))
        await seen.until(lambda view: set(view) == {f"10.0.0.{n}:50051"})
        await until(lambda: kube.lists > lists)

    for n in range(2, 5):
        await until(lambda: kube.watching > 0)
        await move(n)


async def test_an_expired_version_is_listed_anew(kube: KubeApi, seen: Seen) -> None:
    """The watch is told 410 Gone; what happened before it is in the list."""
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1"))
    await seen.until(lambda view: len(view) == 1)
    await until(lambda: kube.watching > 0)
    lists = kube.lists
    kube.put("drafter-2", "drafter", endpoint("10.0.0.2"))
    kube.compact()
    await until(lambda: kube.lists > lists)
    await seen.until(lambda view: len(view) == 2)
    kube.delete("drafter-1")
    await seen.until(lambda view: set(view) == {"10.0.0.2:50051"})


async def test_a_version_that_expires_between_list_and_watch(kube: KubeApi, seen: Seen) -> None:
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1"))
    await seen.until(lambda view: len(view) == 1)
    await until(lambda: kube.watching > 0)
    with kube.changed:  # what is listed next has expired by the time that it is watched
        kube.compacted = kube.version + 2
        kube.epoch += 1
        watches = kube.watches
        kube.changed.notify_all()
    await until(lambda: kube.watches > watches + 1)
    kube.put("drafter-1", "drafter", endpoint("10.0.0.3"))
    kube.put("drafter-2", "drafter", endpoint("10.0.0.4"))
    await seen.until(lambda view: set(view) == {"10.0.0.3:50051", "10.0.0.4:50051"})


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b'{"type":"MODIFIED","obj\n',
        b'{"kind":"Status","status":"Failure","code":500}\n',
        b'{"type":"ERROR","object":{"kind":"Status","code":500}}\n',
    ],
    ids=["blank", "half", "status", "error without a reason"],
)
async def test_a_line_that_is_no_event_is_followed_by_a_new_list(
    line: bytes, kube: KubeApi, seen: Seen
) -> None:
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1"))
    await seen.until(lambda view: len(view) == 1)
    await until(lambda: kube.watching > 0)
    kube.say(line)
    await until(lambda: not kube.said)
    kube.put("drafter-2", "drafter", endpoint("10.0.0.2"))
    await seen.until(lambda view: len(view) == 2)


async def test_repeated_events_change_nothing(kube: KubeApi, seen: Seen) -> None:
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1"))
    kube.put("drafter-2", "drafter", endpoint("10.0.0.2"))
    await seen.until(lambda view: len(view) == 2)
    kube.repeat()
    kube.put("drafter-3", "drafter", endpoint("10.0.0.3"))
    await seen.until(lambda view: len(view) == 3)
    assert ready(seen.view) == {f"10.0.0.{n}:50051" for n in (1, 2, 3)}
    kube.repeat()
    kube.delete("drafter-2")
    await seen.until(lambda view: len(view) == 2)


async def test_the_view_stands_while_the_api_server_is_away(kube: KubeApi, seen: Seen) -> None:
    kube.put("drafter-1", "drafter", endpoint("10.0.0.1"))
    await seen.until(lambda view: len(view) == 1)
    await asyncio.to_thread(kube.stop)
    await asyncio.sleep(0.3)
    assert ready(seen.view) == {"10.0.0.1:50051"}
    kube.start()
    kube.put("drafter-2", "drafter", endpoint("10.0.0.2"))
    await seen.until(lambda view: len(view) == 2)


Event = tuple[str, str, tuple[int, ...]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ADDED", "MODIFIED", "DELETED"]),
            st.sampled_from("abc"),
            st.lists(st.integers(1, 5), max_size=3).map(tuple),
        ),
        max_size=20,
    ),
    st.integers(1, 3),
)
def test_a_view_depends_on_the_last_event_of_each_slice(events: list[Event], times: int) -> None:
    slices, expected = Slices(), dict[str, set[str]]()
    for kind, name, hosts in events:
        one = {
            "metadata": {"name": name},
            "ports": [{"port": 7}],
            "endpoints": [endpoint(f"10.0.0.{host}") for host in hosts],
        }
        for _ in range(times):
            slices.apply(kind, one)
        expected[name] = set() if kind == "DELETED" else {f"10.0.0.{host}:7" for host in hosts}
    assert set(slices.view()) == set().union(*expected.values())


def test_a_pod_in_two_slices_is_ready_where_one_says_so() -> None:
    slices = Slices()
    for name, is_ready in (("a", False), ("b", True), ("c", False)):
        one = {"metadata": {"name": name}, "ports": [{"port": 7}]}
        slices.apply("ADDED", one | {"endpoints": [endpoint("10.0.0.1", ready=is_ready)]})
    assert ready(slices.view()) == {"10.0.0.1:7"}


def test_no_kubernetes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = str(tmp_path / "none")
    monkeypatch.setenv("KUBECONFIG", nowhere)
    with pytest.raises(PeerLost, match="no Kubernetes"):
        api()


def test_a_router_without_it_does_not_import_it() -> None:
    code = "import sys, router.__main__; assert 'kubernetes' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
