"""What an answer's tokens follow: the rule, its form, how the randomness relates, the scaling."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from torch import Tensor

from services.rules.distribution import Sampling
from services.rules.noise import Purpose
from services.rules.registry import Rule
from services.rules.unscaled import Unscaled


class Form(Enum):
    """How a rejected token is replaced.  One law; for one seed other tokens."""

    RESIDUAL = "residual"
    """A coin against pi / q; in place of a rejected token a sample of norm(max(0, pi - q))."""
    GATE = "gate"
    """Accept iff the rule keeps the token; otherwise the expert's own."""


@dataclass(frozen=True)
class Crossing:
    """What of the drafter's distribution crosses the network beside a drafted token's id.

    docs/rules.md, "What crosses the network".
    """

    candidates: bool = False
    """``q``, K pairs."""
    top_log_prob: bool = False
    """log max q1."""
    log_prob: bool = False
    """log q1 of the drafted token."""
    defer: bool = False
    """The drafter's own decision."""


@dataclass(frozen=True)
class Law:
    """A rule and a setting."""

    rule: Rule
    alpha: float
    sampling: Sampling
    candidates: int
    """K."""
    form: Form = Form.RESIDUAL
    coupled: bool = False
    """Whether drafter and expert share the noise of their own tokens (Gumbel coupling)."""

    @property
    def allows_bonus(self) -> bool:
        """Whether a token may follow a block that was accepted whole.

        Only where the token does not depend on ``q`` at all, so that it is the one that drafting
        would have led to (docs/rules.md, "The bonus token").
        """
        return self.rule.name == "lossless" and (self.coupled or self.sampling.temperature == 0)

    def drafter_defers(self, q1: Unscaled) -> Tensor:
        """The decision of a rule that is the drafter's to make: bool [..., 1]."""
        assert self.rule.defer is not None, "a rule that the drafter decides defers"
        # Such a rule looks at nothing of the expert's.
        return self.rule.defer(q1, q1, q1.top, q1.top, self.alpha)

    @property
    def draft_purpose(self) -> Purpose:
        """Which noise drafted tokens are sampled with."""
        return Purpose.EXPERT if self.coupled else Purpose.DRAFT

    @cached_property
    def crossing(self) -> Crossing:
        """What the expert needs to verify a token."""
        rule, greedy = self.rule, self.sampling.temperature == 0
        needs_q = rule.looks_at_q or not (self.coupled or self.form is Form.GATE)
        # In gate form the one value of q1 that TokenV1 looks at is that of the drafted token.
        gated_v1 = rule.per_token and rule.looks_at_top and self.form is Form.GATE
        return Crossing(
            candidates=needs_q and not greedy,  # at temperature 0 q is the token itself
            top_log_prob=rule.looks_at_top and not gated_v1,
            log_prob=gated_v1,
            defer=rule.drafter_decides,
        )
