"""What was measured with about so many sessions: what steps take with them is no measure of others.

Of one session the times of its steps tell what the expert would make alone.  With many they do not:
passes have other sessions' rows in them, and where both models share their hardware the expert is
faster while nobody drafts.  So both ways are measured, and the one not taken is tried at times.
"""

import math
from dataclasses import dataclass, field

from router.pace.mean import Mean
from router.pace.times import Pass, Times

LEAST_STRETCH = 32
TRIAL = 16
"""Tokens of each session for which the expert goes alone to see what that makes."""
_ALL = 0.75
"""Share of the sessions that decode in one pass, when all go alone."""
_EVERY, _SELDOM = 400.0, 6400.0
"""Tokens of each session between such trials; twice as many each time, up to the second."""
_SMOOTHING = 0.05
_COUNT_SMOOTHING = 0.5
"""Of what is counted and not measured: it differs between pods alone."""
_STAYS = 0.7
"""Logarithm to the base 2 of how many times more or fewer are still the same: they vary."""


def _mean() -> Mean:
    return Mean(smoothing=_SMOOTHING)


@dataclass
class Load:
    """About so many sessions."""

    shared: bool = True
    """Whether there is more than one."""
    times: Times = field(default_factory=Times)
    alone: Mean = field(default_factory=_mean)
    """Milliseconds of a session's token, if the expert decodes alone in all of them."""
    stretch: int = LEAST_STRETCH
    """Tokens of each session that the expert decodes alone before speculation is tried again."""
    left: float = 0.0
    """How many of them are left, on average over the sessions.  0: speculate."""
    trying: bool = False
    """Whether these are only to see what the expert makes alone."""
    reason: str = ""
    """Why it decodes alone."""
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

    def speculated(self, tokens: int, ms: float | None, sessions: int) -> None:
        """A round of one of so many; ``ms``: None where they are no measure of the next ones."""
        if ms is not None:
            self._round_tokens.add(tokens)
            self._round_ms.add(ms)
        self._until_trial -= tokens / sessions

    def decoded(self, found: Pass, token_ms: float | None = None) -> None:
        """The expert has decoded in one of them; counts as alone where it did so in all.

        Args:
            found: the mean of its passes.
            token_ms: milliseconds of a token, as seen from here.  None: there was but one.
        """
        self.times.decoded(found, token_ms)
        if token_ms is not None and _ALL * found.sessions <= found.rows <= found.sessions:
            self.alone.add(token_ms)

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
        self._sessions = Mean(1.0, _COUNT_SMOOTHING)
        self.now = Load(shared=False)
        """The one with about as many as there are."""
        self._size = 0
        self._by_size = {0: self.now}

    @property
    def sessions(self) -> float:
        """Those that take part in the expert's passes."""
        return self._sessions.value

    def passed(self, found: Pass) -> bool:
        """A pass tells how many take part; whether it is of the load that was there before it."""
        before = self.now
        self._sessions.add(found.sessions)
        size = math.log2(self.sessions)
        if abs(size - self._size) > _STAYS:
            self._size = round(size)
        if self._size not in self._by_size:
            self._by_size[self._size] = Load()
        self.now = self._by_size[self._size]
        if self.now is before:
            return True
        if not self.now.times.known:
            self.now.times = before.times.anew()
        return False
