"""The laws whose traffic is measured, with the limits that are set for them."""

from dataclasses import dataclass

from cascade.v1 import law_pb2, router_pb2

from bench.prompts import Prompt

CANDIDATES = 64
"""K."""


@dataclass(frozen=True)
class Limits:
    """The most bytes of messages with the expert for each drafted token.  None: not limited."""

    up: float | None = None
    """To the expert."""
    down: float | None = None
    """From it."""


NO_LIMITS = Limits()

RESIDUAL = Limits(up=400, down=64)
"""Where q crosses, with this K."""

GATE = Limits(up=16)
"""Of the rules that decide without the drafter's distribution."""


@dataclass(frozen=True)
class Setting:
    """What all answers of a run share."""

    max_tokens: int
    seed: int
    block_length: int | None
    """None: the router chooses."""


@dataclass(frozen=True)
class Case:
    """A law; its alpha is the rule's default."""

    name: str
    mode: law_pb2.Mode.ValueType
    rule: law_pb2.Rule.ValueType
    form: law_pb2.Form.ValueType = law_pb2.FORM_RESIDUAL
    coupling: law_pb2.Coupling.ValueType = law_pb2.COUPLING_INDEPENDENT
    temperature: float = 1.0
    limits: Limits = NO_LIMITS

    def request(self, prompt: Prompt, setting: Setting) -> router_pb2.GenerateRequest:
        """The request for one answer."""
        return router_pb2.GenerateRequest(
            token_ids=law_pb2.TokenIds(ids=prompt.token_ids),
            mode=self.mode,
            rule=self.rule,
            form=self.form,
            coupling=self.coupling,
            candidates=CANDIDATES,
            temperature=self.temperature,
            seed=setting.seed,
            max_tokens=setting.max_tokens,
            block_length=setting.block_length,
            draft_ahead=0,
            allow_expert_alone=False,
        )


def _name(rule: law_pb2.Rule.ValueType, relation: str) -> str:
    return f"{law_pb2.Rule.Name(rule).removeprefix('RULE_').lower()} {relation}"


def _mode(rule: law_pb2.Rule.ValueType) -> law_pb2.Mode.ValueType:
    if rule == law_pb2.RULE_LOSSLESS:
        return law_pb2.MODE_SPECULATIVE
    return law_pb2.MODE_SPECULATIVE_CASCADE


def _residual(rule: law_pb2.Rule.ValueType) -> Case:
    return Case(_name(rule, "residual"), _mode(rule), rule, limits=RESIDUAL)


def _gate(rule: law_pb2.Rule.ValueType, limits: Limits = NO_LIMITS) -> Case:
    return Case(_name(rule, "gate"), _mode(rule), rule, law_pb2.FORM_GATE, limits=limits)


def _coupled(rule: law_pb2.Rule.ValueType) -> Case:
    gumbel = law_pb2.COUPLING_GUMBEL
    return Case(_name(rule, "coupled"), _mode(rule), rule, coupling=gumbel)


CASES = (
    _residual(law_pb2.RULE_LOSSLESS),
    _residual(law_pb2.RULE_TOKEN_V3),
    _residual(law_pb2.RULE_OPT),
    _gate(law_pb2.RULE_TOKEN_V3, GATE),
    _gate(law_pb2.RULE_TOKEN_V2, GATE),
    _gate(law_pb2.RULE_TOKEN_V1),
    _gate(law_pb2.RULE_CHOW),
    _gate(law_pb2.RULE_DIFF),
    _coupled(law_pb2.RULE_LOSSLESS),
    _coupled(law_pb2.RULE_CHOW),
    _coupled(law_pb2.RULE_DIFF),
    Case("lossless greedy", law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS, temperature=0.0),
)
"""In the order of the report."""
