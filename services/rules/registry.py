"""The registry of rules.  A new one is a function in the file of its family and a line here.

Every rule is a pure function of ``(q1, p1, q, p, alpha)``: two unscaled distributions to look at,
two scaled ones to mix, on the same m listed tokens, of any batch shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from services.rules.chow import chow, chow_log
from services.rules.ensemble import ensemble
from services.rules.lossless import lossless
from services.rules.lossy import lossy
from services.rules.position import bild, diff, opt
from services.rules.target import Target, mix, mix_tokens
from services.rules.token import token_v1, token_v2, token_v3
from services.rules.unscaled import OfProbabilities, Unscaled

Defer = Callable[[Unscaled, Unscaled, Tensor, Tensor, float], Tensor]
"""``r``: bool [..., 1], or [..., m] for a token rule."""


@dataclass(frozen=True)
class Rule:
    """A rule: its target, and for deferral rules the decision behind it."""

    name: str
    """That of the proto's enum without its prefix, in lower case."""
    target: Callable[[Unscaled, Unscaled, Tensor, Tensor, float], Target]
    defer: Defer | None = None
    """None: the rule mixes both models without a decision."""
    per_token: bool = False
    """Whether each token has a decision of its own."""
    drafter_decides: bool = False
    """Whether the decision depends on ``q1`` alone."""
    looks_at_top: bool = False
    """Whether the decision needs ``max q1``."""
    looks_at_q: bool = False
    """Whether the decision needs ``q`` or its most likely token."""

    def pi(self, q1: Tensor, p1: Tensor, q: Tensor, p: Tensor, alpha: float) -> Tensor:
        """The target on whole rows: probabilities [..., V] each, to ``pi`` [..., V]."""
        return self.target(OfProbabilities(q1), OfProbabilities(p1), q, p, alpha).at

    def mixed(self, defer: Tensor, q: Tensor, p: Tensor) -> Target:
        """The target of a deferral rule that has decided."""
        return (mix_tokens if self.per_token else mix)(defer, q, p)


def _deferral(
    name: str,
    defer: Defer,
    *,
    per_token: bool = False,
    drafter_decides: bool = False,
    looks_at_top: bool = False,
    looks_at_q: bool = False,
) -> Rule:
    combine = mix_tokens if per_token else mix

    def target(q1: Unscaled, p1: Unscaled, q: Tensor, p: Tensor, alpha: float) -> Target:
        return combine(defer(q1, p1, q, p, alpha), q, p)

    return Rule(name, target, defer, per_token, drafter_decides, looks_at_top, looks_at_q)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("lossless", lossless),
        Rule("lossy", lossy),
        Rule("ensemble", ensemble),
        _deferral("bild", bild, looks_at_q=True),
        _deferral("chow", chow, drafter_decides=True),
        _deferral("chow_log", chow_log, drafter_decides=True),
        _deferral("diff", diff, looks_at_top=True),
        _deferral("opt", opt, looks_at_top=True, looks_at_q=True),
        _deferral("token_v1", token_v1, per_token=True, looks_at_top=True),
        _deferral("token_v2", token_v2, per_token=True),
        _deferral("token_v3", token_v3, per_token=True),
    )
}
"""By name."""
