"""Settings of a router."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from router.access import load_keys
from router.request import MAX_DRAFT_AHEAD
from services.serving.channels import ClientTls
from services.serving.settings import ServerSettings
from services.serving.tls import TlsFiles


class RouterSettings(ServerSettings):
    """What a router has beside what every server has."""

    model_config = SettingsConfigDict(env_prefix="CASCADE_ROUTER_")

    drafter: str
    """Address of the drafter, host:port."""
    expert: str
    """Address of the expert, host:port."""
    draft_ahead: int = Field(default=1, ge=0, le=MAX_DRAFT_AHEAD)
    """Blocks that may be drafted ahead of the one that the expert verifies, unless a request says.
    Worth it where drafter and expert do not share their hardware."""
    connect_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds to wait for the two at the start."""
    max_sessions: int = Field(default=256, ge=1)
    """Answers at once."""
    max_waiting: int = Field(default=64, ge=0)
    """Requests that may wait for others to end; more are refused."""
    api_keys_file: str = ""
    """File of the API keys that may ask, as `cascade keys new` prints it.  Empty: everybody may."""
    peer_tls_ca: str = ""
    """File of the authority whose certificates drafter and expert must show.  Empty: no TLS."""
    peer_tls_cert: str = ""
    """File of the router's own certificate, which they are shown."""
    peer_tls_key: str = ""
    """File of its key, in PEM, without a password."""
    peer_tls_name: str = ""
    """The name in their certificates.  Empty: the host of each address."""

    @property
    def peer_tls(self) -> ClientTls:
        """How drafter and expert are reached."""
        files = TlsFiles(self.peer_tls_cert, self.peer_tls_key, self.peer_tls_ca, "--peer-tls")
        return ClientTls(files, self.peer_tls_name)

    @model_validator(mode="after")
    def _has_usable_files(self) -> Self:
        if (self.peer_tls_cert or self.peer_tls_key or self.peer_tls_name) and not self.peer_tls_ca:
            raise ValueError("--peer-tls-cert, -key and -name need --peer-tls-ca")
        self.peer_tls.files.load()
        if self.api_keys_file:
            load_keys(self.api_keys_file)
        return self
