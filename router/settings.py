"""Settings of a router."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from router.request import MAX_ALTERNATIVES, MAX_DRAFT_AHEAD
from services.serving.settings import ServerSettings


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
    alternatives: int = Field(default=1, ge=0, le=MAX_ALTERNATIVES)
    """Next-best tokens at each position of a block for which the drafter prepares what would
    follow, unless a request says.  Only where it drafts ahead."""
    connect_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds to wait for the two at the start."""
