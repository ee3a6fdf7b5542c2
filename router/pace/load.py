"""What sessions make that share the expert, by how many they are: measured, not worked out.

Of one session the times of its steps tell what the expert would make alone.  With many they do not:
passes have other sessions' rows in them, and where both models share their hardware the expert is
faster while nobody drafts.  So both ways are measured, and the one not taken is tried at times.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

from router.pace.times import Mean, Pass

TRIAL = 16
"""Tokens of each session for which the expert goes alone to see what that makes."""
_FEW = 1.5
"""Below so many sessions there are no others."""
_ALL = 0.75
"""Share of the sessions that decode in one pass, when all go alone."""
_EVERY, _SELDOM = 400.0, 6400.0
"""Tokens of each session between such trials; twice as many each time, up to the second."""
_SMOOTHING = 0.05


def _mean() -> Mean:
    return Mean(smoothing=_SMOOTHING)


@dataclass
class Load:
    """Of about so many sessions."""

    alone: Mean = field(default_factory=_mean)
    """Milliseconds of a session's token, if the expert decodes alone in all of them."""
    _round_ms: Mean = field(default_factory=_mean)
    _round_tokens: Mean = field(default_factory=_mean)
    _until_trial: float = 0.0
    _every: float = _EVERY

    @property
    def known(self) -> bool:
        """Whether both ways were measured."""
        return not math.isnan(self.alone.value + self.speed)

    @property
    def speed(self) -> float:
        """Tokens of a session by millisecond, if all speculate; not a number: unknown."""
        return self._round_tokens.value / self._round_ms.value

    def speculated(self, tokens: int, ms: float, sessions: float) -> None:
        """A round of one of them."""
        self._round_tokens.add(tokens)
        self._round_ms.add(ms)
        self._until_trial -= tokens / sessions

    def decoded(self, tokens: int, ms: float, found: Pass) -> None:
        """The expert has decoded so many tokens of one of them; counts where it did so in all."""
        if _ALL * found.sessions <= found.rows <= found.sessions:
            self.alone.add(ms / tokens)

    def begin_trial(self) -> bool:
        """Whether it is time to see what the expert makes alone; then it is not for a while."""
        if self._until_trial > 0:
            return False
        self._until_trial = self._every
        self._every = min(2 * self._every, _SELDOM)
        return True


class Loads:
    """Of any number of sessions."""

    def __init__(self) -> None:
        self._by_size: defaultdict[int, Load] = defaultdict(Load)

    def of(self, sessions: float) -> Load | None:
        """Alike for about as many.  None: there is one alone, or it is not known."""
        if not sessions >= _FEW:
            return None
        return self._by_size[round(math.log2(sessions))]
