"""TLS: the files that one end shows and believes, read, checked, and read anew when they change.

With an authority on both ends, each shows the other a certificate: mutual TLS.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from services.serving.watched import Watched


@dataclass(frozen=True)
class Pem:
    """What the files hold; None where there is no file."""

    certificate: bytes | None
    key: bytes | None
    authority: bytes | None

    def __repr__(self) -> str:
        return "Pem(...)"


@dataclass(frozen=True)
class TlsFiles:
    """Files in PEM.  Empty: none."""

    certificate: str = ""
    """What this end shows, with the certificates between it and its authority."""
    key: str = ""
    """Of the certificate, without a password."""
    authority: str = ""
    """Whose certificates this end believes."""
    flags: str = "--tls"
    """What the flags that name them begin with."""

    def __bool__(self) -> bool:
        return any(self.paths)

    @property
    def paths(self) -> list[str]:
        """Those that are given."""
        return [path for path in (self.certificate, self.key, self.authority) if path]

    def load(self) -> Pem:
        """Reads and checks them.

        Raises:
            ValueError: one can't be used; one line with flag and file.
        """
        if bool(self.certificate) != bool(self.key):
            given, missing = ("cert", "key") if self.certificate else ("key", "cert")
            raise ValueError(f"{self.flags}-{given} needs {self.flags}-{missing}")
        pem = Pem(
            self._read("cert", self.certificate),
            self._read("key", self.key),
            self._read("ca", self.authority),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authority:
            try:
                context.load_verify_locations(self.authority)
            except (ssl.SSLError, OSError) as error:
                raise ValueError(f"{self.flags}-ca: no certificates in {self.authority}") from error
        if self.certificate:
            try:
                # A key with a password would ask the terminal for it.
                context.load_cert_chain(self.certificate, self.key, password="")
            except (ssl.SSLError, OSError) as error:
                raise ValueError(
                    f"{self.flags}-cert, {self.flags}-key: {self.certificate} and {self.key} "
                    "are no certificate and its key without a password"
                ) from error
        return pem

    def _read(self, name: str, path: str) -> bytes | None:
        if not path:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.flags}-{name}: can't read {path}: {error.strerror}") from error


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Of a server.  New connections get what the files hold then; running ones stay.

    With an authority, clients must show a certificate of it.

    Raises:
        ValueError: a file can't be used.
    """
    watched = Watched(files.paths, files.load)
    shown = watched.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC, on a thread of its own, at each new connection."""
        nonlocal shown
        pem = watched.current()
        if pem is shown:
            return None
        shown = pem
        return _configuration(pem)

    fetch: Any = changed  # its types lack the None that gRPC documents
    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        fetch,
        require_client_authentication=bool(files.authority),
    )


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    pair = (pem.key or b"", pem.certificate or b"")
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=pem.authority)


def channel_credentials(pem: Pem) -> grpc.ChannelCredentials:
    """Of a client."""
    return grpc.ssl_channel_credentials(pem.authority, pem.key, pem.certificate)
