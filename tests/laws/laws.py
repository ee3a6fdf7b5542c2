"""Laws as requests name them, for every mode, rule and form; and as the oracle takes them."""

from dataclasses import dataclass

from cascade.v1 import law_pb2

from services.serving.law import mode_name, rule_name, with_defaults
from tests.oracle import answer as oracle


@dataclass(frozen=True)
class Cell:
    """A mode with its rule and form."""

    mode: law_pb2.Mode.ValueType
    rule: law_pb2.Rule.ValueType = law_pb2.RULE_UNSPECIFIED
    alpha: float = 0.0
    gate: bool = False
    coupled: bool = False
    quantile: float | None = None

    def __str__(self) -> str:
        parts = [mode_name(self.mode)]
        if self.rule:
            parts += [rule_name(self.rule), f"{self.alpha:g}"]
        parts += ["gate"] * self.gate + ["coupled"] * self.coupled
        return "-".join(parts + ["quantile"] * (self.quantile is not None))

    def law(
        self,
        temperature: float,
        *,
        seed: int = 0,
        top_k: int = 0,
        top_p: float = 1.0,
        candidates: int = 64,
    ) -> law_pb2.Law:
        """The whole law."""
        law = law_pb2.Law(
            mode=self.mode,
            rule=self.rule,
            alpha=self.alpha,
            form=law_pb2.FORM_GATE if self.gate else law_pb2.FORM_RESIDUAL,
            coupling=law_pb2.COUPLING_GUMBEL if self.coupled else law_pb2.COUPLING_INDEPENDENT,
            candidates=candidates,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
        if self.quantile is not None:
            law.confidence_statistic = law_pb2.CONFIDENCE_STATISTIC_QUANTILE
            law.confidence_quantile = self.quantile
        return with_defaults(law, alpha_given=True)


def to_oracle(law: law_pb2.Law) -> oracle.Law:
    """The same for the oracle."""
    quantile = law.confidence_statistic == law_pb2.CONFIDENCE_STATISTIC_QUANTILE
    return oracle.Law(
        mode=mode_name(law.mode),
        rule=rule_name(law.rule),
        alpha=law.alpha,
        temperature=law.temperature,
        top_k=law.top_k,
        top_p=law.top_p,
        candidates=law.candidates,
        seed=law.seed,
        gate=law.form == law_pb2.FORM_GATE,
        coupled=law.coupling == law_pb2.COUPLING_GUMBEL,
        quantile=law.confidence_quantile if quantile else None,
    )


def request_fields(law: law_pb2.Law) -> dict[str, object]:
    """The fields of a request for exactly this law."""
    fields = {
        name: getattr(law, name)
        for name in (
            "mode",
            "rule",
            "alpha",
            "form",
            "candidates",
            "coupling",
            "temperature",
            "top_k",
            "top_p",
            "seed",
            "confidence_statistic",
        )
    }
    return fields | ({"confidence_quantile": q} if (q := law.confidence_quantile) else {})


_CASCADE = law_pb2.MODE_SPECULATIVE_CASCADE
_POSITION = {
    law_pb2.RULE_CHOW: 0.5,
    law_pb2.RULE_CHOW_LOG: 1.2,
    law_pb2.RULE_DIFF: 0.1,
    law_pb2.RULE_OPT: 0.4,
    law_pb2.RULE_BILD: 1.5,
}
_TOKEN = {
    law_pb2.RULE_TOKEN_V1: 0.2,
    law_pb2.RULE_TOKEN_V2: 0.2,
    law_pb2.RULE_TOKEN_V3: 0.7,
}
ALONE = [Cell(law_pb2.MODE_DRAFTER), Cell(law_pb2.MODE_EXPERT)]
TOKEN_CASCADES = [
    Cell(law_pb2.MODE_TOKEN_CASCADE, law_pb2.RULE_CHOW, 0.5),
    Cell(law_pb2.MODE_TOKEN_CASCADE, law_pb2.RULE_CHOW_LOG, 1.2),
]
SEQUENCE_CASCADES = [
    Cell(law_pb2.MODE_SEQUENCE_CASCADE, law_pb2.RULE_CHOW, 0.8),
    Cell(law_pb2.MODE_SEQUENCE_CASCADE, law_pb2.RULE_CHOW, 0.97, quantile=0.2),
]
SPECULATIVE = [
    Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS),
    Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS, coupled=True),
    Cell(law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSY, 0.4),
]
CASCADES = [
    Cell(_CASCADE, law_pb2.RULE_ENSEMBLE, 0.4),
    *(Cell(_CASCADE, rule, alpha) for rule, alpha in (_POSITION | _TOKEN).items()),
    *(Cell(_CASCADE, rule, alpha, gate=True) for rule, alpha in (_POSITION | _TOKEN).items()),
    *(Cell(_CASCADE, rule, alpha, coupled=True) for rule, alpha in _POSITION.items()),
]
BY_TOKEN = [*ALONE, *TOKEN_CASCADES, *SPECULATIVE, *CASCADES]
"""Cells whose law is a law of each token."""
CELLS = [*BY_TOKEN, *SEQUENCE_CASCADES]
"""Every mode, rule and form."""
