"""transformers' own generation: the expert alone, and assisted by the drafter."""

import copy
import time
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.generation.streamers import BaseStreamer

from bench.answer import Answer
from bench.pair import Pair
from services.engine.model import DTYPES

BLOCK = 5


class Assistance(Enum):
    """What the drafter does for the expert."""

    NONE = auto()
    AS_IT_COMES = auto()
    """As transformers does by default: the block length follows the acceptance."""
    CONSTANT = auto()
    """Blocks of 5."""


class Arrivals(BaseStreamer):
    """When tokens came.  ``generate`` gives it the prompt first, then tokens as they come."""

    def __init__(self) -> None:
        self.first: float | None = None
        """Time of the first token, of ``time.perf_counter``."""
        self.first_tokens = 1
        """How many came then."""
        self.groups = 0
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        """Takes the prompt, or the next tokens."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        if self.first is None:
            self.first, self.first_tokens = time.perf_counter(), value.numel()
        self.groups += 1

    def end(self) -> None:
        """Nothing is held back."""


class Peers:
    """Both models in this process, as transformers loads them."""

    def __init__(self, pair: Pair) -> None:
        self._drafter, self._expert = (_load(folder, pair.dtype) for folder in pair.folders)
        self._end_token_ids = pair.end_token_ids
        as_it_comes = self._drafter.generation_config
        constant = copy.deepcopy(as_it_comes)
        constant.num_assistant_tokens = BLOCK
        constant.num_assistant_tokens_schedule = "constant"
        constant.assistant_confidence_threshold = 0.0
        self._assistant_configs = {
            Assistance.AS_IT_COMES: as_it_comes,
            Assistance.CONSTANT: constant,
        }

    def answer(
        self,
        assistance: Assistance,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """One answer.

        Args:
            assistance: of the drafter.
            prompt: token ids.
            max_tokens: at least one.
            temperature: 0 is greedy.
            seed: of what is sampled.
        """
        assistant = None
        if assistance in self._assistant_configs:
            assistant = self._drafter
            assistant.generation_config = self._assistant_configs[assistance]
        sampled = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        config = GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=temperature > 0,
            **sampled,
            repetition_penalty=1.0,
            eos_token_id=list(self._end_token_ids) or None,
            pad_token_id=0,
        )
        ids = torch.tensor([prompt])
        arrivals = Arrivals()
        torch.manual_seed(seed)
        start = time.perf_counter()
        output: Tensor = self._expert.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            assistant_model=assistant,
            streamer=arrivals,
        )
        total_s = time.perf_counter() - start
        tokens = output[0, len(prompt) :].tolist()
        ended = tokens[-1] in self._end_token_ids
        assert arrivals.first is not None, "generate streams at least one token"
        return Answer(
            token_ids=tuple(tokens[:-1] if ended else tokens),
            end_token_id=tokens[-1] if ended else None,
            first_s=arrivals.first - start,
            total_s=total_s,
            groups=arrivals.groups,
            first_tokens=arrivals.first_tokens,
        )


def _load(folder: Path, dtype: str) -> Any:
    """A model with ``generate``, which transformers mixes in and does not declare."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype]).eval()
