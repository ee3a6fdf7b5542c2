"""Mutual TLS over real sockets: who is refused, and certificates that are replaced under load."""

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cascade.v1 import router_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.serving.channels import ClientTls, open_channel
from services.serving.options import SERVER_OPTIONS
from services.serving.tls import TlsFiles, server_credentials
from tests.certificates import Authority, Issued
from tests.client import make_request
from tests.services import ENVIRONMENT, Process, await_port, launch
from tests.unit.cli_command import Outcome, process

SIMULATED = ("--simulate.agreement", "0.8", "--simulate.pass-ms", "2", "--threads", "1")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(issued: Issued, authority: Authority) -> TlsFiles:
    return TlsFiles(*issued.paths, str(authority.path))


@asynccontextmanager
async def serving(tls: TlsFiles) -> AsyncIterator[str]:
    """A server with health alone; gives its address."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(tls))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def check(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)


async def refusal(address: str, tls: ClientTls) -> grpc.aio.AioRpcError:
    async with open_channel(address, tls) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(channel)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    return caught.value


async def test_who_has_a_certificate_of_the_authority_may_speak(authority: Authority) -> None:
    """The same server and client as in every refusal below."""
    async with serving(files(authority.issue("server"), authority)) as address:
        tls = ClientTls(files(authority.issue("client"), authority))
        async with open_channel(address, tls) as channel:
            await check(channel)


async def test_no_certificate_is_refused(authority: Authority) -> None:
    async with serving(files(authority.issue("server"), authority)) as address:
        await refusal(address, ClientTls(TlsFiles(authority=str(authority.path))))
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await check(channel)


async def test_a_certificate_of_another_authority_is_refused(authority: Authority) -> None:
    other = Authority(authority.path.parent, "other")
    server, stranger = authority.issue("server"), other.issue("stranger")
    async with serving(files(server, authority)) as address:
        await refusal(address, ClientTls(files(stranger, authority)))
    async with serving(files(stranger, authority)) as address:
        error = await refusal(address, ClientTls(files(authority.issue("client"), authority)))
        assert "CERTIFICATE_VERIFY_FAILED" in str(error.details())


async def test_a_certificate_whose_time_is_over_is_refused(authority: Authority) -> None:
    over = authority.issue("over", valid=timedelta(hours=-1))
    async with serving(files(authority.issue("server"), authority)) as address:
        await refusal(address, ClientTls(files(over, authority)))
    async with serving(files(over, authority)) as address:
        error = await refusal(address, ClientTls(files(authority.issue("client"), authority)))
        assert "CERTIFICATE_VERIFY_FAILED" in str(error.details())


async def test_another_name_is_refused_and_a_given_one_is_checked(authority: Authority) -> None:
    client = files(authority.issue("client"), authority)
    async with serving(files(authority.issue("pod", "expert.test"), authority)) as address:
        await refusal(address, ClientTls(client))
        await refusal(address, ClientTls(client, "drafter.test"))
        async with open_channel(address, ClientTls(client, "expert.test")) as channel:
            await check(channel)


async def test_half_a_replaced_pair_leaves_the_old_one(authority: Authority) -> None:
    server, client = authority.issue("server"), files(authority.issue("client"), authority)
    async with serving(files(server, authority)) as address:
        first = shown(address, client)
        key = server.key.read_bytes()
        server.key.write_bytes(b"")
        assert shown(address, client) == first
        server.key.write_bytes(key)
        server.replace_with(authority.issue("later"))
        assert shown(address, client) != first


async def test_a_channel_made_while_the_files_are_unusable_has_the_old_ones(
    authority: Authority,
) -> None:
    """As a router's to a pod that comes while half of a pair is replaced."""
    server, client = authority.issue("server"), authority.issue("client")
    tls = ClientTls(files(client, authority))
    async with serving(files(server, authority)) as address:
        async with open_channel(address, tls) as channel:
            await check(channel)
        key = client.key.read_bytes()
        client.key.write_bytes(b"")
        async with open_channel(address, tls) as channel:
            await check(channel)
        client.key.write_bytes(key)
        client.replace_with(authority.issue("later"))
        async with open_channel(address, tls) as channel:
            await check(channel)


def shown(address: str, client: TlsFiles) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=client.authority)
    context.load_cert_chain(client.certificate, client.key)
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 20) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        found = connection.getpeercert(binary_form=True)
    assert found is not None
    return found


@dataclass(frozen=True)
class Guarded:
    """A router and its pods under mutual TLS, with health on ports of their own."""

    processes: list[Process]
    authority: Authority
    server: Issued
    """What all of them show."""
    client: Issued
    """What the router shows its pods."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder)
    server, client = authority.issue("server"), authority.issue("client")
    believed = str(authority.path)
    own = ["--tls-cert", server.paths[0], "--tls-key", server.paths[1], "--tls-ca", believed]
    own += ["--health-port", "0"]
    peer = ["--peer-tls-cert", client.paths[0], "--peer-tls-key", client.paths[1]]
    peer += ["--peer-tls-ca", believed]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr("tests.services.server_flags", lambda module: ())
        patch.setitem(ENVIRONMENT, "CASCADE_LOG_LEVEL", "INFO")

        def start(module: str, name: str, *flags: str) -> "subprocess.Popen[bytes]":
            popen = launch(module, name, folder, *own, *flags)
            stack.callback(popen.wait, 30)
            stack.callback(popen.terminate)
            return popen

        popens = {
            role: start(f"services.{role}", role, *SIMULATED) for role in ("drafter", "expert")
        }
        pods = [await_port(popen, role, folder) for role, popen in popens.items()]
        addresses = (f"--drafter={pods[0].address}", f"--expert={pods[1].address}")
        router = await_port(start("router", "router", *peer, *addresses), "router", folder)
        yield Guarded([router, *pods], authority, server, client)


async def test_certificates_are_replaced_under_load(guarded: Guarded) -> None:
    """Answers that run go on, new ones use what is there then, and none fails."""
    (router, *pods), authority = guarded.processes, guarded.authority
    mine = authority.issue("mine")
    tls = ClientTls(files(mine, authority))
    finished, replaced = 0, asyncio.Event()

    async def ask(stub: "router_pb2_grpc.RouterServiceAsyncStub", seed: int) -> None:
        """One answer after another, until two have begun after the replacement."""
        nonlocal finished
        after = 0
        while after < 2:
            after += replaced.is_set()
            call = stub.Generate(
                make_request(prompt=[1, 2, 3], max_tokens=200, temperature=1.0, seed=seed)
            )
            events = [event async for event in call]
            assert events[-1].HasField("finished")
            finished += 1

    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(router.address, tls))
        stub = router_pb2_grpc.RouterServiceStub(channel)
        asking = [asyncio.create_task(ask(stub, seed)) for seed in range(4)]
        while finished < 2:
            await asyncio.sleep(0.02)
            assert not any(task.done() for task in asking), "one failed"
        before = [shown(process.address, tls.files) for process in (router, *pods)]
        later = authority.issue("later"), authority.issue("later-client"), authority.issue("l3")
        for old, new in zip((guarded.server, guarded.client, mine), later, strict=True):
            old.replace_with(new)
        replaced.set()
        await asyncio.gather(*asking)
        assert finished >= 10
    now = [shown(process.address, tls.files) for process in (router, *pods)]
    assert all(a != b for a, b in zip(before, now, strict=True))
    assert len(set(now)) == 1
    log = router.log.read_text()
    assert f'"{guarded.client.certificate}"' in log
    assert "BEGIN" not in log


def test_the_command_shows_a_certificate_and_checks_the_routers(guarded: Guarded) -> None:
    def ask(*tls: str) -> Outcome:
        asking = ("generate", "abc", "--raw", "--json", "--max-tokens", "4", "--address")
        return process(*tls, *asking, guarded.processes[0].address, environment=ENVIRONMENT)

    mine = guarded.authority.issue("caller")
    shown = ("--tls-cert", mine.paths[0], "--tls-key", mine.paths[1])
    believed = ("--tls-ca", str(guarded.authority.path))
    assert len(json.loads(ask(*believed, *shown).out)["token_ids"]) == 4
    for flags in ((), believed, (*believed, *shown, "--tls-name", "other.test")):
        refused = ask(*flags)
        assert refused.status == 1
        assert refused.err.startswith("cascade: can't reach a router at 127.0.0.1:")
    half = ask(*shown)
    assert (half.status, half.out) == (2, "")
    assert half.err == "cascade: --tls-cert, --tls-key and --tls-name need --tls-ca\n"


async def test_probes_need_no_certificate(guarded: Guarded) -> None:
    for service in guarded.processes:
        (line,) = [
            json.loads(line)
            for line in service.log.read_text().splitlines()
            if '"event": "health"' in line
        ]
        async with grpc.aio.insecure_channel(line["address"]) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        async with grpc.aio.insecure_channel(service.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await check(channel)
