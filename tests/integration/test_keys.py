"""API keys over real sockets: who is refused and how, limits, a changed file, the command."""

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import router_pb2_grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from router.access.keys import find, hash_key, load_keys, new_key
from tests import services
from tests.client import make_request
from tests.services import Process, Services, await_port, launch
from tests.tls import client_variables, open_channel
from tests.unit.cli_command import Outcome, process

ANN, BOB, LATE = (new_key() for _ in range(3))

FILE = f"""
[keys.ann]
sha256 = "{hash_key(ANN)}"
max_sessions = 1

[keys.bob]
sha256 = "{hash_key(BOB)}"
tokens_per_minute = 30
"""


@dataclass(frozen=True)
class Keyed:
    """A router that wants a key."""

    process: Process
    file: Path


@pytest.fixture(scope="module")
def keyed(tiny_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    file = folder / "keys.toml"
    file.write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(services.ENVIRONMENT, "CASCADE_LOG_LEVEL", "INFO")
        popen = launch(
            "router",
            "router",
            folder,
            *("--drafter", tiny_services.drafter.address),
            *("--expert", tiny_services.expert.address),
            *("--api-keys-file", str(file), "--metrics-port", "0"),
        )
    try:
        yield Keyed(await_port(popen, "router", folder), file)
    finally:
        popen.terminate()
        popen.wait(30)


@pytest.fixture
async def stub(keyed: Keyed) -> "AsyncIterator[router_pb2_grpc.RouterServiceAsyncStub]":
    async with open_channel(keyed.process.address) as channel:
        yield router_pb2_grpc.RouterServiceStub(channel)


Call = Any
"""grpc.aio.UnaryStreamCall."""


def ask(stub: "router_pb2_grpc.RouterServiceAsyncStub", key: str | None, **fields: Any) -> Call:
    fields = {"prompt": "x" * 10, "raw": True, "max_tokens": 4, "ignore_end_tokens": True} | fields
    metadata = () if key is None else (("authorization", f"Bearer {key}"),)
    return stub.Generate(make_request(**fields), timeout=60, metadata=metadata)


async def events(call: Call) -> list[Any]:
    return [event async for event in call]


async def refused(call: Call, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events(call)
    assert caught.value.code() == code
    return caught.value


def retry_s(error: grpc.aio.AioRpcError) -> float:
    call: Any = error  # raised errors are calls, too
    status = rpc_status.from_call(call)
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    return float(retry.retry_delay.ToMilliseconds()) / 1000


async def test_missing_wrong_and_right(
    stub: "router_pb2_grpc.RouterServiceAsyncStub", keyed: Keyed
) -> None:
    error = await refused(ask(stub, None), grpc.StatusCode.UNAUTHENTICATED)
    assert "authorization: Bearer KEY" in str(error.details())
    error = await refused(ask(stub, LATE), grpc.StatusCode.UNAUTHENTICATED)
    assert error.details() == "the API key is not known"
    assert (await events(ask(stub, ANN)))[-1].HasField("finished")


async def test_health_stays_open(keyed: Keyed) -> None:
    async with open_channel(keyed.process.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_sessions_at_once(stub: "router_pb2_grpc.RouterServiceAsyncStub") -> None:
    running = ask(stub, ANN, max_tokens=400)
    assert (await running.read()).HasField("started")
    error = await refused(ask(stub, ANN), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert error.details() == "key ann: all 1 sessions are in use"
    assert retry_s(error) > 0
    running.cancel()


async def test_a_prompt_that_never_fits(stub: "router_pb2_grpc.RouterServiceAsyncStub") -> None:
    error = await refused(ask(stub, BOB, prompt="x" * 31), grpc.StatusCode.INVALID_ARGUMENT)
    assert "must have at most the 30 tokens a minute of key bob, got 31" in str(error.details())


async def test_tokens_a_minute(stub: "router_pb2_grpc.RouterServiceAsyncStub") -> None:
    """A bucket of 30: a prompt of 10, an answer of 20, and then nothing for a while."""
    assert (await events(ask(stub, BOB, max_tokens=20)))[-1].finished.usage.completion_tokens == 20
    error = await refused(ask(stub, BOB), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert error.details() == "key bob: its 30 tokens a minute are used up"
    assert 0 < retry_s(error) <= 20


async def test_without_a_key_nothing_is_read_of_a_message(keyed: Keyed) -> None:
    """Its bytes may be many, and come slowly."""
    async with open_channel(keyed.process.address) as channel:
        never_sent: Any = channel.stream_stream("/cascade.v1.RouterService/Generate")()
        assert await never_sent.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "an API key is needed" in await never_sent.details()


async def test_a_key_that_is_added_counts_at_once(
    stub: "router_pb2_grpc.RouterServiceAsyncStub", keyed: Keyed
) -> None:
    keyed.file.write_text(FILE + f'[keys.late]\nsha256 = "{hash_key(LATE)}"\n')
    assert (await events(ask(stub, LATE)))[-1].HasField("finished")
    keyed.file.write_text(FILE)
    await refused(ask(stub, LATE), grpc.StatusCode.UNAUTHENTICATED)


async def test_names_are_in_logs_and_metrics_and_keys_are_not(
    stub: "router_pb2_grpc.RouterServiceAsyncStub", keyed: Keyed
) -> None:
    """Last: what all others wrote is looked through."""
    await refused(ask(stub, LATE), grpc.StatusCode.UNAUTHENTICATED)
    log = keyed.process.log.read_text()
    assert '"key": "ann"' in log
    (address,) = re.findall(r'"address": "([^"]+)", "event": "metrics"', log)
    found = await _fetch(f"http://{address}/metrics")
    assert 'cascade:key_requests_total{end="finished",key="ann"} ' in found
    assert 'cascade:key_tokens_total{key="ann"} ' in found
    assert 'cascade:request_failure_total{error="Unauthenticated"} ' in found
    for key in (ANN, BOB, LATE):
        assert key not in log + found
        assert hash_key(key) not in log + found


async def _fetch(url: str) -> str:
    def fetch() -> str:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(fetch)


def cascade(*arguments: str, **environment: str) -> Outcome:
    return process(*arguments, environment=services.ENVIRONMENT | environment)


def test_the_command_brings_the_key(keyed: Keyed, tmp_path: Path) -> None:
    asking = ["generate", "abc", "--raw", "--json", "--max-tokens", "4"]
    asking += ["--address", keyed.process.address]
    tls = client_variables()
    without = cascade(*asking, **tls)
    assert without.status == 1
    assert without.err.startswith("cascade: unauthenticated: an API key is needed")
    assert json.loads(cascade(*asking, CASCADE_API_KEY=ANN, **tls).out)["token_ids"]
    file = tmp_path / "key"
    file.write_text(ANN + "\n")
    assert json.loads(cascade(*asking, CASCADE_API_KEY_FILE=str(file), **tls).out)["token_ids"]
    absent = cascade(*asking, CASCADE_API_KEY_FILE=str(tmp_path / "absent"), **tls)
    assert absent.status == 2
    assert "CASCADE_API_KEY_FILE: can't read" in absent.err
    asking[-1] = "cascade.test:50050"
    clear = cascade(*asking, CASCADE_API_KEY=ANN)
    assert clear.status == 2
    assert "is not sent to cascade.test:50050 without TLS" in clear.err
    assert ANN not in clear.err + absent.err + without.err


def test_a_made_key_and_its_entry_fit(tmp_path: Path) -> None:
    made = cascade("keys", "new", "ann", "--max-sessions", "3", "--tokens-per-minute", "100")
    (key,) = re.findall(r"this once: (\S+)$", made.err, re.MULTILINE)
    file = tmp_path / "keys.toml"
    file.write_text(made.out)
    assert key not in file.read_text()
    entry = find(key, load_keys(str(file)))
    assert entry is not None
    assert (entry.name, entry.max_sessions, entry.tokens_per_minute) == ("ann", 3, 100)
    refused = cascade("keys", "new", "no name")
    assert refused.status == 2
    assert "a key's name is 1 to 64 of" in refused.err
