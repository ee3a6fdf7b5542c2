"""Mutual TLS between all processes of the tests, where CASCADE_TEST_TLS=1 asks for it.

Processes that the tests start find the certificates by CASCADE_TEST_TLS_DIR.
"""

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import grpc

_DIR = "CASCADE_TEST_TLS_DIR"

ON = os.environ.get("CASCADE_TEST_TLS") == "1"
"""Whether it is asked for."""


@functools.cache
def _folder() -> Path:
    if _DIR not in os.environ:
        # Here alone: what finds the folder needs no certificates made.
        from tests.certificates import Authority

        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder)
        authority = Authority(folder)
        for name in ("server", "client"):
            authority.issue(name)
        os.environ[_DIR] = str(folder)
    return Path(os.environ[_DIR])


def _flags(prefix: str, name: str) -> tuple[str, ...]:
    if not ON:
        return ()
    folder = _folder()
    return (
        *(f"{prefix}-cert", str(folder / f"{name}.pem"), f"{prefix}-key"),
        *(str(folder / f"{name}.key"), f"{prefix}-ca", str(folder / "authority.pem")),
    )


def server_flags(module: str) -> tuple[str, ...]:
    """Of a service: what it shows, and, of a router, what its peers are shown."""
    return _flags("--tls", "server") + (
        _flags("--peer-tls", "client") if module == "router" else ()
    )


def client_variables() -> dict[str, str]:
    """What commands find in their environment."""
    if not ON:
        return {}
    folder = _folder()
    files = {"CA": "authority.pem", "CERT": "client.pem", "KEY": "client.key"}
    return {f"CASCADE_TLS_{name}": str(folder / file) for name, file in files.items()}


def _credentials() -> grpc.ChannelCredentials:
    folder = _folder()
    return grpc.ssl_channel_credentials(
        *((folder / name).read_bytes() for name in ("authority.pem", "client.key", "client.pem"))
    )


def open_channel(address: str, *options: tuple[str, int]) -> grpc.aio.Channel:
    """A channel to a service of the tests; ``options``: of gRPC's."""
    if ON:
        return grpc.aio.secure_channel(address, _credentials(), options)
    return grpc.aio.insecure_channel(address, options)


def open_blocking_channel(address: str) -> grpc.Channel:
    """The same for callers without an event loop."""
    if ON:
        return grpc.secure_channel(address, _credentials())
    return grpc.insecure_channel(address)
