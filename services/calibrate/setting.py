"""What a calibration is asked to do, and the requests that come of it."""

from dataclasses import dataclass

from cascade.v1 import law_pb2, router_pb2

from services.calibrate.grids import default_alphas
from services.calibrate.prompts import Prompt
from services.rules.registry import RULES, Rule
from services.serving import law as laws

_UINT64_MAX = (1 << 64) - 1


@dataclass(frozen=True)
class Setting:
    """What every answer of a calibration shares, and the alphas to evaluate."""

    rule: str = "token_v3"
    alphas: tuple[float, ...] = default_alphas("token_v3")
    """Ascending, each once."""
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    candidates: int = laws.DEFAULT_CANDIDATES
    """K."""
    max_tokens: int = 64
    """The most tokens of a continuation."""
    block_length: int = 5
    """Tokens drafted in a round."""
    seed: int = 0
    """Of the first prompt; each next one has the next seed."""
    raw: bool = False
    """Whether texts are continued without a chat template."""

    @property
    def definition(self) -> Rule:
        """The rule's functions."""
        return RULES[self.rule]

    @property
    def mode(self) -> law_pb2.Mode.ValueType:
        """The mode that serves the rule."""
        return mode_of(self.rule)

    def lossless_request(self, prompt: Prompt, index: int) -> router_pb2.GenerateRequest:
        """Asks for a continuation of the expert's law; ``index`` is the prompt's, from 0."""
        request = self._request(prompt, index)
        request.mode = law_pb2.MODE_SPECULATIVE
        request.echo_prompt = True
        return request

    def rule_request(self, prompt: Prompt, index: int, alpha: float) -> router_pb2.GenerateRequest:
        """Asks for an answer of the rule."""
        request = self._request(prompt, index)
        request.mode, request.rule, request.alpha = self.mode, rule_number(self.rule), alpha
        return request

    def expert_request(self, prompt: Prompt, index: int) -> router_pb2.GenerateRequest:
        """Asks for an answer of the expert alone."""
        request = self._request(prompt, index)
        request.mode = law_pb2.MODE_EXPERT
        request.ClearField("block_length")  # which would cut its answer into steps
        return request

    def _request(self, prompt: Prompt, index: int) -> router_pb2.GenerateRequest:
        request = router_pb2.GenerateRequest(
            raw=self.raw,
            candidates=self.candidates,
            block_length=self.block_length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            # With one seed for all, equal positions of different prompts would share their noise.
            seed=(self.seed + index) & _UINT64_MAX,
            max_tokens=self.max_tokens,
            allow_expert_alone=False,
        )
        if isinstance(prompt.content, str):
            request.text = prompt.content
        else:
            request.token_ids.ids.extend(prompt.content)
        return request


@dataclass(frozen=True)
class Limits:
    """What a recommendation has to keep to.  None: no limit."""

    max_distance: float | None = None
    max_expert_share: float | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.max_distance is not None or self.max_expert_share is not None


def rule_number(rule: str) -> law_pb2.Rule.ValueType:
    """``RULE_TOKEN_V3`` for ``token_v3``."""
    return law_pb2.Rule.Value(f"RULE_{rule.upper()}")


def mode_of(rule: str) -> law_pb2.Mode.ValueType:
    """The speculative mode that serves a rule."""
    lossless = rule in ("lossless", "lossy")
    return law_pb2.MODE_SPECULATIVE if lossless else law_pb2.MODE_SPECULATIVE_CASCADE
