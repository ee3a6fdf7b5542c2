"""The law of an answer: its defaults, its ranges, and which of its parts go together.

The router fills in a request's law with it; the drafter and the expert check what they are sent.
"""

import math

from cascade.v1 import law_pb2 as pb

from services.errors import InvalidField

MAX_CANDIDATES = 1024
MIN_TEMPERATURE = 1e-3
"""The least above 0, which is greedy.  Below it a quotient of logits is nothing but rounding."""
MAX_TEMPERATURE = 100.0
DEFAULT_CANDIDATES = 64

_ALPHA_RANGES: dict[int, tuple[float, float]] = {
    pb.RULE_LOSSLESS: (-math.inf, math.inf),
    pb.RULE_LOSSY: (0.0, math.nextafter(1.0, 0.0)),
    pb.RULE_BILD: (0.0, math.inf),
    pb.RULE_ENSEMBLE: (0.0, 1.0),
    pb.RULE_CHOW: (0.0, 1.0),
    pb.RULE_CHOW_LOG: (0.0, math.inf),
    pb.RULE_DIFF: (-1.0, 1.0),
    pb.RULE_OPT: (0.0, 1.0),
    pb.RULE_TOKEN_V1: (-1.0, 1.0),
    pb.RULE_TOKEN_V2: (-1.0, 1.0),
    pb.RULE_TOKEN_V3: (0.0, 1.0),
}

_POSITION_RULES = {
    pb.RULE_CHOW,
    pb.RULE_CHOW_LOG,
    pb.RULE_DIFF,
    pb.RULE_OPT,
    pb.RULE_BILD,
}
"""Rules that decide once for a position."""

_DEFERRAL_RULES = _POSITION_RULES | {pb.RULE_TOKEN_V1, pb.RULE_TOKEN_V2, pb.RULE_TOKEN_V3}

_COUPLED_RULES: dict[int, set[pb.Rule.ValueType]] = {
    pb.MODE_SPECULATIVE: {pb.RULE_LOSSLESS},
    pb.MODE_SPECULATIVE_CASCADE: _POSITION_RULES,
}

# Starting points, not recommendations: what an alpha is worth depends on both models and the
# prompts, and `cascade calibrate` measures it.
_DEFAULT_ALPHAS: dict[int, float] = {
    pb.RULE_LOSSY: 0.3,
    pb.RULE_BILD: 1.0,
    pb.RULE_ENSEMBLE: 0.5,
    pb.RULE_CHOW: 0.3,
    pb.RULE_CHOW_LOG: 1.0,
    pb.RULE_DIFF: 0.1,
    pb.RULE_OPT: 0.3,
    pb.RULE_TOKEN_V1: 0.3,
    pb.RULE_TOKEN_V2: 0.3,
}

# The first is the mode's default.
_MODE_RULES: dict[int, tuple[int, ...]] = {
    pb.MODE_DRAFTER: (),
    pb.MODE_EXPERT: (),
    pb.MODE_SEQUENCE_CASCADE: (pb.RULE_CHOW,),
    pb.MODE_TOKEN_CASCADE: (pb.RULE_CHOW, pb.RULE_CHOW_LOG),
    pb.MODE_SPECULATIVE: (pb.RULE_LOSSLESS, pb.RULE_LOSSY),
    pb.MODE_SPECULATIVE_CASCADE: (
        pb.RULE_TOKEN_V3,
        *sorted((_DEFERRAL_RULES | {pb.RULE_ENSEMBLE}) - {pb.RULE_TOKEN_V3}),
    ),
}


def mode_name(mode: int) -> str:
    """``speculative_cascade`` for ``MODE_SPECULATIVE_CASCADE``."""
    return pb.Mode.Name(pb.Mode.ValueType(mode)).removeprefix("MODE_").lower()


def rule_name(rule: int) -> str:
    """``token_v3`` for ``RULE_TOKEN_V3``."""
    return pb.Rule.Name(pb.Rule.ValueType(rule)).removeprefix("RULE_").lower()


def default_alpha(rule: int, temperature: float) -> float:
    """The alpha of a request that names none.  0 where the rule has none."""
    if rule == pb.RULE_TOKEN_V3:
        return 0.5 if temperature == 0 else 0.8
    return _DEFAULT_ALPHAS.get(rule, 0.0)


def may_change_expert_law(law: pb.Law) -> bool:
    """Whether answers of this law may follow another law than the expert's own."""
    return not (
        law.mode == pb.MODE_EXPERT
        or (law.mode == pb.MODE_SPECULATIVE and law.rule == pb.RULE_LOSSLESS)
    )


def with_defaults(law: pb.Law, *, alpha_given: bool) -> pb.Law:
    """A copy with mode, rule, alpha, form, K, coupling and confidence filled in where unset."""
    law = pb.Law.FromString(law.SerializeToString())
    law.mode = law.mode or pb.MODE_SPECULATIVE_CASCADE
    rules = _MODE_RULES.get(law.mode, ())
    if rules:
        law.rule = law.rule or pb.Rule.ValueType(rules[0])
    if not alpha_given:
        law.alpha = default_alpha(law.rule, law.temperature)
    law.form = law.form or pb.FORM_RESIDUAL
    law.coupling = law.coupling or pb.COUPLING_INDEPENDENT
    law.confidence_statistic = law.confidence_statistic or pb.CONFIDENCE_STATISTIC_MEAN
    return law


def violations(law: pb.Law) -> list[tuple[str, str]]:
    """What is wrong with a law whose defaults are filled in: pairs of field and text."""
    found: list[tuple[str, str]] = []

    def check(ok: bool, field: str, text: str) -> None:
        if not ok:
            found.append((field, text))

    for field, enum, value in (
        ("mode", pb.Mode, law.mode),
        ("rule", pb.Rule, law.rule),
        ("form", pb.Form, law.form),
        ("coupling", pb.Coupling, law.coupling),
        ("confidence_statistic", pb.ConfidenceStatistic, law.confidence_statistic),
    ):
        known = enum.values()
        check(value in known, field, f"must be one of {sorted(known)}, got {value}")
    check(law.mode != pb.MODE_UNSPECIFIED, "mode", "must be set, got MODE_UNSPECIFIED")
    rules = _MODE_RULES.get(law.mode)
    if rules is not None and law.rule in pb.Rule.values():
        allowed = ", ".join(rule_name(r) for r in rules) or "none"
        check(
            law.rule in (rules or (pb.RULE_UNSPECIFIED,)),
            "rule",
            f"mode {mode_name(law.mode)} takes {allowed}, got {rule_name(law.rule)}",
        )
    found.extend(_combination_violations(law))
    low, high = _ALPHA_RANGES.get(law.rule, (-math.inf, math.inf))
    range_text = "[0, 1)" if law.rule == pb.RULE_LOSSY else f"[{low:g}, {high:g}]"
    check(
        math.isfinite(law.alpha) and low <= law.alpha <= high,
        "alpha",
        f"must be finite and in {range_text} for rule {rule_name(law.rule)}, got {law.alpha:g}"
        if law.rule in _ALPHA_RANGES
        else f"must be finite, got {law.alpha:g}",
    )
    check(
        1 <= law.candidates <= MAX_CANDIDATES,
        "candidates",
        f"must be in [1, {MAX_CANDIDATES}], got {law.candidates}",
    )
    check(
        law.temperature == 0 or MIN_TEMPERATURE <= law.temperature <= MAX_TEMPERATURE,
        "temperature",
        f"must be 0 or in [{MIN_TEMPERATURE:g}, {MAX_TEMPERATURE:g}], got {law.temperature:g}",
    )
    check(0 < law.top_p <= 1, "top_p", f"must be in (0, 1], got {law.top_p:g}")
    if law.confidence_statistic != pb.CONFIDENCE_STATISTIC_QUANTILE:
        check(
            law.confidence_quantile == 0,
            "confidence_quantile",
            f"needs confidence_statistic QUANTILE, got {law.confidence_quantile:g}",
        )
    else:
        check(
            0 < law.confidence_quantile < 1,
            "confidence_quantile",
            f"must be in (0, 1), got {law.confidence_quantile:g}",
        )
    return found


def _combination_violations(law: pb.Law) -> list[tuple[str, str]]:
    """Form and coupling that the mode and the rule do not have."""
    found: list[tuple[str, str]] = []
    gate, coupled = law.form == pb.FORM_GATE, law.coupling == pb.COUPLING_GUMBEL
    if gate and (law.mode != pb.MODE_SPECULATIVE_CASCADE or law.rule not in _DEFERRAL_RULES):
        rules = ", ".join(rule_name(r) for r in sorted(_DEFERRAL_RULES))
        found.append(
            ("form", f"gate takes mode speculative_cascade and one of the rules {rules}{_got(law)}")
        )
    if coupled and law.rule not in _COUPLED_RULES.get(law.mode, set()):
        rules = ", ".join(rule_name(r) for r in sorted(_POSITION_RULES))
        found.append(
            (
                "coupling",
                "gumbel takes mode speculative and rule lossless, or mode speculative_cascade and "
                f"one of the rules {rules}{_got(law)}",
            )
        )
    if gate and coupled:
        found.append(("form", "must be residual with coupling gumbel, got gate"))
    return found


def _got(law: pb.Law) -> str:
    """A law's mode and rule, as far as they have names."""
    mode = mode_name(law.mode) if law.mode in pb.Mode.values() else law.mode
    rule = rule_name(law.rule) if law.rule in pb.Rule.values() else law.rule
    return f", got mode {mode} and rule {rule}"


def check(law: pb.Law) -> None:
    """Refuses a law that can't be.

    Raises:
        InvalidField: naming every field that is wrong.
    """
    if found := violations(law):
        raise InvalidField(*found)
