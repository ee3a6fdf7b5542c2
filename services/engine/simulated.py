"""A model without weights: synthetic distributions with a given agreement, and given step times.

For benchmarks of all that is not a model.  Each distribution has nearly all of its mass on one
token, which a hash of the position and of the last tokens chooses, so that the expert's word is the
drafter's with the probability ``agreement`` at each position, independently; at temperature 0 and
above the same.  Where they differ, it is the drafter's second choice with the probability
``second``.

Its passes take their time as a device's do: the worker queues a pass and what decides on its
logits, and waits for both together.  So a step's time holds the decision, too, and it counts from
when the worker begins to choose who takes part: an engine's step time is that of a whole turn.
"""

import time
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from services.engine.batch import Part
from services.engine.cache import KeyValueCache
from services.engine.deadline import sleep_until
from services.engine.facts import ModelFacts
from services.engine.fingerprint import tokenizer_fingerprint
from services.engine.model import Model
from services.engine.pages import PAGE
from services.tokens import extend_hash

CONTEXT = 4096
_SLOTS = 256
_END = "<|end|>"
_TOKENS = 257
_LOOKS_BACK = 4
"""Tokens that a distribution depends on, beside the position."""
_FIRST, _SECOND, _OTHERS = 0.0, -20.0, -30.0
"""Logits."""
_BUSY_S = 0.002
"""A pass that begins so soon after another was waiting for it: its time counts from there."""


class Simulation(BaseModel):
    """What is simulated.  Times in milliseconds."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    agreement: float = Field(default=0.8, ge=0, le=1)
    """How often the expert's word is the drafter's first choice."""
    second: float = Field(default=0.6, ge=0, le=1)
    """How often, where it is not, it is the drafter's second choice."""
    pass_ms: float = Field(default=0.0, ge=0)
    """Of each pass, with the choice of who takes part and the decision on its logits."""
    token_ms: float = Field(default=0.0, ge=0)
    """Of each token fed, beside that."""
    session_ms: float = Field(default=0.0, ge=0)
    """Of each session in it, beside that."""

    def pass_s(self, sessions: int, tokens: int) -> float:
        """Seconds of a pass."""
        return (self.pass_ms + self.session_ms * sessions + self.token_ms * tokens) / 1000


class SimulatedModel(Model):
    """In place of a model."""

    def __init__(self, simulation: Simulation, *, drafts: bool) -> None:
        """``drafts``: it is the drafter."""
        self.facts = _facts("drafter" if drafts else "expert")
        self.device = torch.device("cpu")
        pages = self.facts.cache_tokens // PAGE
        self.cache = KeyValueCache(0, 1, 1, pages, torch.float32, self.device)
        self._simulation = simulation
        self._drafts = drafts
        self._turn_began = 0.0
        """0: the worker does not say."""
        self._free_at = 0.0

    def begin_turn(self) -> None:
        """See Model: the next pass's time counts from here."""
        self._turn_began = time.perf_counter()

    def run(self, parts: Sequence[Part]) -> Tensor:
        """See Model: float32 [R, V]."""
        began, self._turn_began = self._turn_began or time.perf_counter(), 0.0
        if began - self._free_at < _BUSY_S:
            began = self._free_at
        words: list[tuple[int, int]] = []
        for part in parts:
            part.slot.extend(part.tokens)
            seen = part.slot.tokens
            words += [self._words(seen, n) for n in range(len(seen) - part.rows + 1, len(seen) + 1)]
        logits = torch.full((len(words), _TOKENS), _OTHERS)
        if words:
            logits.scatter_(1, torch.tensor(words), torch.tensor([[_SECOND, _FIRST]] * len(words)))
        tokens = sum(len(part.tokens) for part in parts)
        self._free_at = began + self._simulation.pass_s(len(parts), tokens)
        return logits

    def to_host(self, values: Tensor) -> list[float]:
        """See Model: waits for the end of the last pass."""
        host = super().to_host(values)
        sleep_until(self._free_at)
        return host

    def _words(self, seen: Sequence[int], length: int) -> tuple[int, int]:
        """Second and first choice after the first ``length`` tokens, which differ."""
        key = extend_hash(length, seen[max(length - _LOOKS_BACK, 0) : length])
        first = key % 256
        second = (first + 1 + (key >> 8) % 255) % 256
        if self._drafts:
            return second, first
        agrees, is_second = _unit(key >> 16), _unit(key >> 40)
        if agrees < self._simulation.agreement:
            return second, first
        if is_second < self._simulation.second:
            return first, second
        other = next(token for token in range(3) if token not in (first, second))
        return first, other


def _unit(bits: int) -> float:
    """24 bits as a number from 0 to 1."""
    return (bits & 0xFFFFFF) / 0x1000000


def _facts(role: str) -> ModelFacts:
    tokenizer = _tokenizer().to_str().encode()
    tokens = _SLOTS * CONTEXT
    return ModelFacts(
        name=f"simulated/{role}",
        weights_fingerprint=f"simulated-{role}",
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        tokenizer_json=tokenizer,
        chat_template="",
        special_tokens={},
        vocabulary_size=_TOKENS,
        context_length=CONTEXT,
        end_token_ids=(_TOKENS - 1,),
        dtype="float32",
        device="cpu",
        weights="simulated",
        weight_bytes=0,
        slots=_SLOTS,
        cache_tokens=tokens,
        cache_bytes=0,
    )


def _tokenizer() -> Tokenizer:
    """A token for each byte, and an end token that no distribution gives mass."""
    symbols = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(_END, special=True, normalized=False)])
    return tokenizer
