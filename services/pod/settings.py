"""Settings of a drafter and an expert."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.serving.settings import ServerSettings


class PodSettings(ServerSettings):
    """What a drafter and an expert have beside what every server has."""

    model_config = SettingsConfigDict(env_prefix="CASCADE_POD_", protected_namespaces=())

    model: str
    """Folder of the model: config.json, *.safetensors, tokenizer.json."""
    device: str = Field(default="auto", pattern="^(auto|cpu|cuda)$")
    """auto, cpu or cuda."""
    dtype: str = Field(default="auto", pattern="^(auto|float32|bfloat16)$")
    """auto, float32 or bfloat16.  auto: bfloat16 where the hardware multiplies it."""
    threads: int = Field(default=0, ge=0)
    """CPU threads.  0: as many as there are cores."""
    slots: int = Field(default=16, ge=1, le=4096)
    """Sessions at once."""
    max_waiting: int = Field(default=64, ge=0)
    """Sessions that may wait for a slot; more are refused."""
