"""Settings of a router."""

import re
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from router.discovery import Source
from router.request import MAX_ALTERNATIVES, MAX_DRAFT_AHEAD
from services.serving.settings import ServerSettings

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


def split(names: str) -> list[str]:
    """The parts between commas that say something."""
    return [part for name in names.split(",") if (part := name.strip())]
