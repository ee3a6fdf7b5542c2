"""Settings that every server has.  From flags, then environment, then defaults.

Each server's settings are one frozen class below this; unknown flags are refused; the values are
printed at the start, secrets masked.
"""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SHARED_GATHER = 0.5
"""``--gather`` of a drafter and an expert that share their hardware."""


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
    grace_s: float = Field(default=10.0, ge=0)
    """Seconds that running calls get to finish after SIGTERM."""


def problems(error: ValidationError) -> list[str]:
    """What is wrong with the settings: a line for each, naming the flag."""
    return [
        f"--{'.'.join(map(str, p['loc'])).replace('_', '-')}: {p['msg']}" if p["loc"] else p["msg"]
        for p in error.errors()
    ]
