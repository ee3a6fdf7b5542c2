"""Settings of a router."""

import re
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from router.access import load_keys
from router.discovery import Source
from router.request import MAX_ALTERNATIVES, MAX_DRAFT_AHEAD
from services.serving.channels import ClientTls
from services.serving.settings import ServerSettings
from services.serving.tls import TlsFiles

_SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS label, as Kubernetes names Services."""


class RouterSettings(ServerSettings):
    """What a router has beside what every server has."""

    model_config = SettingsConfigDict(env_prefix="CASCADE_ROUTER_")

    drafter: str
    """Where the drafters are.  static: their addresses, host:port, separated by commas.  dns: a
    name, host:port, or several.  kubernetes: the name of their Service."""
    expert: str
    """Where the experts are, likewise."""
    discovery: Source = "static"
    """How pods are found: static, dns or kubernetes."""
    resolve_every_s: float = Field(default=5.0, gt=0)
    """For dns: seconds between two looks; a lost pod causes one at once."""
    namespace: str = "default"
    """For kubernetes: of the two Services."""
    zone: str = ""
    """Where this router runs: pods of the same zone come first.  Empty: any is as good."""
    draft_ahead: int = Field(default=1, ge=0, le=MAX_DRAFT_AHEAD)
    """Blocks that may be drafted ahead of the one that the expert verifies, unless a request says.
    Worth it where drafter and expert do not share their hardware."""
    alternatives: int = Field(default=1, ge=0, le=MAX_ALTERNATIVES)
    """Next-best tokens at each position of a block for which the drafter prepares what would
    follow, unless a request says.  Only where it drafts ahead."""
    connect_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds to wait for a pod of each role at the start."""
    max_sessions: int = Field(default=256, ge=1)
    """Answers at once."""
    max_waiting: int = Field(default=64, ge=0)
    """Requests that may wait for others to end; more are refused."""
    unread_limit_s: float = Field(default=600.0, ge=0)
    """Seconds that a client may leave a response unread, beyond what is on its way to it, before
    its answer is ended.  0: no limit."""
    api_keys_file: str = ""
    """File of the API keys that may ask, as `cascade keys new` prints it.  Empty: everybody may."""
    peer_tls_ca: str = ""
    """File of the authority whose certificates drafter and expert must show.  Empty: no TLS."""
    peer_tls_cert: str = ""
    """File of the router's own certificate, which they are shown."""
    peer_tls_key: str = ""
    """File of its key, in PEM, without a password."""
    peer_tls_name: str = ""
    """The name in their certificates.  Empty: the host of each address; with kubernetes
    SERVICE.NAMESPACE.svc."""

    @property
    def drafters(self) -> list[str]:
        """What ``drafter`` names."""
        return split(self.drafter)

    @property
    def experts(self) -> list[str]:
        """What ``expert`` names."""
        return split(self.expert)

    @model_validator(mode="after")
    def _names_pods(self) -> Self:
        for flag, names in (("--drafter", self.drafters), ("--expert", self.experts)):
            if self.discovery == "kubernetes":
                if len(names) != 1 or not _SERVICE.fullmatch(names[0]):
                    raise ValueError(
                        f"{flag}: must be the name of one Service, got {','.join(names)!r}"
                    )
            elif not names:
                raise ValueError(f"{flag}: must name at least one address, got none")
            for name in names if self.discovery != "kubernetes" else ():
                host, _, port = name.rpartition(":")
                if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                    raise ValueError(
                        f"{flag}: must be host:port with a port in [1, 65535], got {name!r}"
                    )
        return self

    def peer_tls(self, names: list[str]) -> ClientTls:
        """How the pods that ``names`` names are reached."""
        files = TlsFiles(self.peer_tls_cert, self.peer_tls_key, self.peer_tls_ca, "--peer-tls")
        # The addresses that Kubernetes tells are IPs, which no certificate holds.
        service = f"{names[0]}.{self.namespace}.svc" if self.discovery == "kubernetes" else ""
        return ClientTls(files, self.peer_tls_name or service)

    @model_validator(mode="after")
    def _has_usable_files(self) -> Self:
        if (self.peer_tls_cert or self.peer_tls_key or self.peer_tls_name) and not self.peer_tls_ca:
            raise ValueError("--peer-tls-cert, -key and -name need --peer-tls-ca")
        self.peer_tls(self.drafters).files.load()
        if self.api_keys_file:
            load_keys(self.api_keys_file)
        return self


def split(names: str) -> list[str]:
    """The parts between commas that say something."""
    return [part for name in names.split(",") if (part := name.strip())]
