"""The laws whose acceptance is measured, with the limits that are set for it."""

from dataclasses import dataclass

from cascade.v1 import law_pb2

from services.serving.law import DEFAULT_CANDIDATES, rule_name, with_defaults

LIMIT = 0.04
"""The most that the work on a pass's logits may take, as a share of the pass."""

COUPLED_LIMIT = 0.08
"""The same where every row needs its own noise over the vocabulary."""

MOST_GROWTH = 1.0
"""The most that a session's share of a batch may take, in times of what it takes alone."""

_EXPERT_LAW = (law_pb2.RULE_LOSSLESS, law_pb2.RULE_LOSSY)


@dataclass(frozen=True)
class Case:
    """A law; its alpha is the rule's default."""

    rule: law_pb2.Rule.ValueType
    temperature: float
    top_p: float = 1.0
    form: law_pb2.Form.ValueType = law_pb2.FORM_RESIDUAL
    coupling: law_pb2.Coupling.ValueType = law_pb2.COUPLING_INDEPENDENT

    @property
    def name(self) -> str:
        """Rule, form and scaling."""
        if self.temperature == 0:
            return f"{rule_name(self.rule)} greedy"
        relation = "coupled" if self.coupled else "gate" if self.gate else "residual"
        cut = f", top_p {self.top_p:g}" if self.top_p < 1 else ""
        return f"{rule_name(self.rule)} {relation}, T {self.temperature:g}{cut}"

    @property
    def gate(self) -> bool:
        """Whether a rejected token is replaced by the expert's own."""
        return self.form == law_pb2.FORM_GATE

    @property
    def coupled(self) -> bool:
        """Whether both models share their noise."""
        return self.coupling == law_pb2.COUPLING_GUMBEL

    @property
    def limit(self) -> float:
        """The most that acceptance may take, as a share of the pass."""
        return COUPLED_LIMIT if self.coupled else LIMIT

    def law(self, seed: int) -> law_pb2.Law:
        """The law as it opens a session."""
        mode = law_pb2.MODE_SPECULATIVE_CASCADE
        if self.rule in _EXPERT_LAW:
            mode = law_pb2.MODE_SPECULATIVE
        law = law_pb2.Law(
            mode=mode,
            rule=self.rule,
            form=self.form,
            coupling=self.coupling,
            candidates=DEFAULT_CANDIDATES,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed,
        )
        return with_defaults(law, alpha_given=False)


_SCALINGS = ((1.0, 1.0), (0.7, 0.9))
"""Temperature and top-p."""

_RESIDUAL = (
    law_pb2.RULE_LOSSLESS,
    law_pb2.RULE_TOKEN_V3,
    law_pb2.RULE_OPT,
    law_pb2.RULE_LOSSY,
    law_pb2.RULE_BILD,
    law_pb2.RULE_CHOW,
)

CASES = (
    *(Case(rule, *scaling) for rule in _RESIDUAL for scaling in _SCALINGS),
    *(Case(law_pb2.RULE_TOKEN_V3, *scaling, form=law_pb2.FORM_GATE) for scaling in _SCALINGS),
    *(
        Case(law_pb2.RULE_LOSSLESS, *scaling, coupling=law_pb2.COUPLING_GUMBEL)
        for scaling in _SCALINGS
    ),
    Case(law_pb2.RULE_LOSSLESS, temperature=0.0),
)
"""In the order of the report."""
