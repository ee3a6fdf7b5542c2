"""The systems that are compared: a mode, and where it has one a rule at an alpha."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import law_pb2, router_pb2

from bench.errors import BadOption
from services.calibrate.grids import default_alphas
from services.rules.registry import RULES

_THINNED = 4
"""Of a rule's alphas every so manyth is asked: each is a whole run of the problems."""


STOP_STRINGS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
"""What ends a continuation.  The last one is ours: models that were taught to chat close a fence
that nobody opened; the others are those of Chen et al. 2021 (arXiv:2107.03374)."""


@dataclass(frozen=True)
class System:
    """Who answers."""

    family: str
    """What its points are drawn as: systems that differ in alpha alone share it."""
    mode: law_pb2.Mode.ValueType
    rule: law_pb2.Rule.ValueType = law_pb2.RULE_UNSPECIFIED
    alpha: float | None = None

    @property
    def name(self) -> str:
        """On the command line and in the reports."""
        return self.family if self.alpha is None else f"{self.family}:{self.alpha:g}"

    def request(self, text: str, max_tokens: int, *, chat: bool) -> router_pb2.GenerateRequest:
        """Asks for its greedy answer; all else is the router's default.

        But speculation goes on where it does not pay: the expert alone would be another system.

        Args:
            text: the problem.
            max_tokens: of the answer.
            chat: whether the problem is one user message, answered to its end, instead of a text
                that is continued until the function is over.
        """
        return router_pb2.GenerateRequest(
            text=text,
            raw=not chat,
            stop_strings=() if chat else STOP_STRINGS,
            mode=self.mode,
            rule=self.rule,
            alpha=self.alpha,
            temperature=0.0,
            max_tokens=max_tokens,
            allow_expert_alone=False,
        )


DRAFTER = System("drafter", law_pb2.MODE_DRAFTER)
EXPERT = System("expert", law_pb2.MODE_EXPERT)
LOSSLESS = System("lossless", law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS)


def _rule(name: str) -> law_pb2.Rule.ValueType:
    return law_pb2.Rule.Value(f"RULE_{name.upper()}")


_CASCADES = [name for name in RULES if name not in ("lossless", "lossy")]

_FAMILIES: dict[str, tuple[System, tuple[float, ...]]] = {
    # At temperature 0 the lossy rule's alpha has no effect (docs/rules.md).
    "lossy": (System("lossy", law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSY), (0.3,)),
    **{
        name: (
            System(name, law_pb2.MODE_SPECULATIVE_CASCADE, _rule(name)),
            default_alphas(name)[::_THINNED],
        )
        for name in _CASCADES
    },
    # The mean log-probability of an answer's tokens is seldom far below 0.
    "sequence_cascade": (
        System("sequence_cascade", law_pb2.MODE_SEQUENCE_CASCADE, law_pb2.RULE_CHOW),
        (0.02, 0.05, 0.1, 0.15, 0.2, 0.3),
    ),
}
"""By name: the family without its alpha, and the alphas that it is asked at."""

DEFAULT = "drafter,expert,lossless,token_v3:0.25,token_v3:0.5,token_v3:0.8"
ALL = ",".join(["drafter", "expert", "lossless", *_FAMILIES])
NAMES = ALL.split(",")


def parse_systems(text: str) -> list[System]:
    """Names with commas between: ``expert``, ``token_v3:0.5``, ``token_v3`` for all its alphas.

    Raises:
        BadOption: an unknown name, or an alpha that can't be.
    """
    found: list[System] = []
    for name in filter(None, map(str.strip, text.split(","))):
        found += _parse(name)
    if not found:
        raise BadOption(f"--systems: name some of {', '.join(NAMES)}")
    return list(dict.fromkeys(found))


def _parse(name: str) -> Sequence[System]:
    family, colon, alpha = name.partition(":")
    for system in (DRAFTER, EXPERT, LOSSLESS):
        if name == system.family:
            return [system]
    if family not in _FAMILIES:
        raise BadOption(f"--systems: no {name!r}; there are {', '.join(NAMES)}, or with :alpha")
    base, alphas = _FAMILIES[family]
    try:
        chosen = (float(alpha),) if colon else alphas
    except ValueError as error:
        raise BadOption(f"--systems: the alpha of {name!r} is no number") from error
    return [System(base.family, base.mode, base.rule, value) for value in chosen]
