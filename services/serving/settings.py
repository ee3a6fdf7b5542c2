"""Settings that every server has.  From flags, then environment, then defaults.

Each server's settings are one frozen class below this; unknown flags are refused; the values are
printed at the start, secrets masked.
"""

import ipaddress
from typing import Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.serving.tls import TlsFiles

S = TypeVar("S", bound=BaseSettings)

SHARED_GATHER = 0.5
"""``--gather`` of a drafter and an expert that share their hardware."""

SHARED_CACHE = 0.25
"""``--cache-share`` of such: they may come to ask what is free at the same moment."""


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServerSettings(BaseSettings):
    """What every server has."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        cli_parse_args=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on.  0 takes a free one."""
    port_file: str = ""
    """File to write the port to, once the server serves.  Empty: none."""
    metrics_port: int = Field(default=-1, ge=-1, le=65535)
    """Port for Prometheus' metrics.  0 takes a free one, -1 serves none."""
    health_port: int = Field(default=-1, ge=-1, le=65535)
    """Port for health alone, without TLS, for probes.  0 takes a free one, -1 serves none."""
    grace_s: float = Field(default=10.0, ge=0)
    """Seconds that running calls get to finish after SIGTERM."""
    tls_cert: str = ""
    """File of the certificate that clients are shown, in PEM.  Empty: no TLS."""
    tls_key: str = ""
    """File of its key, in PEM, without a password."""
    tls_ca: str = ""
    """File of the authority whose certificates clients must show: mutual TLS.  Empty: none."""

    @property
    def tls(self) -> TlsFiles:
        """The three files."""
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_ca)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _has_usable_tls(self) -> Self:
        if self.tls_ca and not self.tls_cert:
            raise ValueError("--tls-ca needs --tls-cert and --tls-key")
        self.tls.load()
        return self


def read(kind: type[S]) -> S:
    """Settings from flags and environment, which bring what has no default.

    Raises:
        ValidationError: they can't be used.
    """
    return kind()


def problems(error: ValidationError) -> list[str]:
    """What is wrong with the settings: a line for each, naming the flag."""
    return [
        f"--{'.'.join(map(str, p['loc'])).replace('_', '-')}: {p['msg']}"
        if p["loc"]
        else p["msg"].removeprefix("Value error, ")  # its text names the flag
        for p in error.errors()
    ]
