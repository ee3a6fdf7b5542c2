"""From the texts of options to a setting: every value that can't be is told in one line."""

import math
from collections.abc import Mapping

from cascade.v1 import law_pb2

from services.calibrate.errors import BadOption
from services.calibrate.grids import default_alphas
from services.calibrate.setting import Limits, Setting, rule_number
from services.rules.registry import RULES
from services.serving import law as laws

MAX_BLOCK_LENGTH = 64
UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1

_OPTION_OF_FIELD = {
    "temperature": "--temperature",
    "top_p": "--top-p",
    "candidates": "--candidates",
    "alpha": "--alphas",
}

Texts = Mapping[str, str | None]
"""The texts of options, by their names without dashes; None, or not there: not given."""


def parse_setting(texts: Texts, *, raw: bool = False) -> Setting:
    """What was asked for; the rest is default.

    Raises:
        BadOption: a value that can't be.
    """
    rule = texts.get("rule")
    rule = "token_v3" if rule is None else rule
    if rule not in RULES:
        raise BadOption("--rule", f"must be one of {', '.join(RULES)}, got {rule}")
    alphas = texts.get("alphas")
    setting = Setting(
        rule=rule,
        alphas=default_alphas(rule) if alphas is None else _alphas(alphas),
        temperature=_real(texts, "temperature", 0.0),
        top_k=_integer(texts, "top-k", 0, low=0, high=UINT32_MAX),
        top_p=_real(texts, "top-p", 1.0),
        candidates=_integer(texts, "candidates", laws.DEFAULT_CANDIDATES, high=laws.MAX_CANDIDATES),
        max_tokens=_integer(texts, "max-tokens", 64, high=UINT32_MAX),
        block_length=_integer(texts, "block-length", 5, high=MAX_BLOCK_LENGTH),
        seed=_integer(texts, "seed", 0, low=0, high=UINT64_MAX),
        raw=raw,
    )
    for alpha in setting.alphas:
        _check_law(setting, alpha)
    return setting


def parse_limits(texts: Texts, setting: Setting) -> Limits:
    """The limits of a recommendation.

    Raises:
        BadOption: a value that can't be, or one that the rule has no use for.
    """
    limits = Limits(
        max_distance=_share(texts, "max-distance"),
        max_expert_share=_share(texts, "max-expert-share"),
    )
    if limits.max_expert_share is not None and setting.definition.defer is None:
        deferring = ", ".join(name for name, rule in RULES.items() if rule.defer)
        raise BadOption(
            "--max-expert-share", f"takes a rule that defers ({deferring}), got {setting.rule}"
        )
    return limits


def parse_limit(texts: Texts) -> int | None:
    """How many prompts to read; None: all.

    Raises:
        BadOption: not a number of prompts.
    """
    return None if texts.get("limit") is None else _integer(texts, "limit", 1, high=UINT32_MAX)


def _check_law(setting: Setting, alpha: float) -> None:
    law = law_pb2.Law(
        mode=setting.mode,
        rule=rule_number(setting.rule),
        alpha=alpha,
        candidates=setting.candidates,
        temperature=setting.temperature,
        top_k=setting.top_k,
        top_p=setting.top_p,
    )
    for field, text in laws.violations(laws.with_defaults(law, alpha_given=True)):
        raise BadOption(_OPTION_OF_FIELD[field], text)


def _alphas(text: str) -> tuple[float, ...]:
    found = set()
    for part in text.split(","):
        try:
            found.add(float(part) + 0.0)  # which makes -0.0 a 0
        except ValueError as error:
            raise BadOption(
                "--alphas", f"must be numbers with commas between them, got {text}"
            ) from error
    return tuple(sorted(found))


def _real(texts: Texts, name: str, default: float) -> float:
    text = texts.get(name)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError as error:
        raise BadOption(f"--{name}", f"must be a number, got {text}") from error


def _share(texts: Texts, name: str) -> float | None:
    if texts.get(name) is None:
        return None
    value = _real(texts, name, math.nan)
    if not 0 <= value <= 1:
        raise BadOption(f"--{name}", f"must be in [0, 1], got {value:g}")
    return value


def _integer(texts: Texts, name: str, default: int, *, low: int = 1, high: int) -> int:
    text = texts.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError as error:
        raise BadOption(f"--{name}", f"must be a whole number, got {text}") from error
    if not low <= value <= high:
        raise BadOption(f"--{name}", f"must be in [{low}, {high}], got {value}")
    return value
