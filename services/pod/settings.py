"""Settings of a drafter and an expert."""

from typing import Self

from pydantic import ByteSize, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.engine.schedule import CHUNK, SHORT
from services.engine.simulated import Simulation
from services.engine.weights import Weights
from services.serving.settings import ServerSettings


class PodSettings(ServerSettings):
    """What a drafter and an expert have beside what every server has."""

    model_config = SettingsConfigDict(env_prefix="CASCADE_POD_", protected_namespaces=())

    model: str = ""
    """Folder of the model: config.json, *.safetensors, tokenizer.json."""
    simulate: Simulation | None = None
    """In place of a model: synthetic distributions and step times, for benchmarks."""
    device: str = Field(default="auto", pattern="^(auto|cpu|cuda)$")
    """auto, cpu or cuda."""
    dtype: str = Field(default="auto", pattern="^(auto|float32|bfloat16)$")
    """auto, float32 or bfloat16.  auto: bfloat16 where the hardware multiplies it."""
    weights: Weights = "auto"
    """What the weights are kept in.  auto: the dtype, or float16 where a float32 model's weights
    fit into it exactly.  bfloat16+float16 keeps them twice, for faster passes of one or two rows on
    a CPU.  int8 and int4 round them: faster, and of an expert another law."""
    draft_vocabulary: int = Field(default=0, ge=0)
    """Of a drafter: how many tokens it may say, the first of its vocabulary, beside those of the
    tokenizer's own.  Its steps are shorter, and its distribution another one.  0: all."""
    compile: bool = False
    """Whether the model is compiled: passes are padded to powers of two, and the first pass of each
    size takes long."""
    threads: int = Field(default=0, ge=0)
    """CPU threads.  0: as many as there are cores."""
    cache_bytes: ByteSize = Field(default=ByteSize(0), ge=0)
    """Memory for the sessions' keys and values, such as 1GiB.  0: ``cache_share``, and no more than
    the slots can fill."""
    cache_share: float = Field(default=0.0, ge=0, lt=1)
    """Of the memory that is free once the model is loaded, where ``cache_bytes`` does not say.
    0: a quarter on the CPU, four fifths on a device, which is taken to be this pod's alone."""
    share_prefixes: bool = True
    """Whether sessions that begin with the same tokens share what the cache holds of them."""
    slots: int = Field(default=0, ge=0, le=4096)
    """Sessions at once.  0: what the cache holds at 2,048 tokens each, at most 16 on the CPU and
    256 on a device."""
    chunk: int = Field(default=CHUNK, ge=SHORT, le=65536)
    """Tokens of long prompts in one pass: what a prompt delays all others by."""
    gather: float = Field(default=0.0, ge=0.0, le=10.0)
    """How long a pass waits for sessions that were in the last one, as a share of that one's time.
    Worth it where drafter and expert share their hardware."""
    pass_limit_s: float = Field(default=0.0, ge=0)
    """Seconds that a pass may take.  Then the pod gives up: its health fails, and its sessions go
    on elsewhere.  0: 300, and 1800 with --compile, whose first passes take long."""
    max_waiting: int = Field(default=64, ge=0)
    """Sessions that may wait for a slot; more are refused."""

    @property
    def longest_pass_s(self) -> float:
        """What ``pass_limit_s`` comes to."""
        return self.pass_limit_s or (1800.0 if self.compile else 300.0)

    @model_validator(mode="after")
    def _has_one_model(self) -> Self:
        if bool(self.model) == (self.simulate is not None):
            raise ValueError("one of --model and --simulate must be given")
        if self.draft_vocabulary and not self.model:
            raise ValueError("--draft-vocabulary is of a model, and --simulate has none")
        return self
