"""Waits a little for sessions whose next step is likely to come soon, so that they share a pass.

Sessions that take turns between two models drift apart, and then run in small passes, each of which
costs nearly as much as a large one.  Where both models share the hardware it is faster to let all
of them meet; where each has its own, half of the sessions can be here while the others are there.
"""

import time
from collections.abc import Iterable

from services.engine.session import Queued, Session


class Gather:
    """Which sessions a pass should wait for, and until when."""

    def __init__(self, share: float) -> None:
        """Nobody is expected yet.

        Args:
            share: the longest wait, as a share of the last pass's time.  0: none.
        """
        self._share = share
        self._expected: set[Session] = set()
        self._pass_s = 0.0

    def remaining_s(self, turn: Iterable[tuple[Session, Queued]]) -> float:
        """How long the pass should wait now, in seconds; not positive: it should begin.

        Whoever was in the last pass is expected in the next one.  A session that does not come in
        time is not expected again until it has come, and steps that have begun wait for nobody.

        Args:
            turn: the sessions that are there, at least one, and their steps.
        """
        if not self._share:
            return 0.0
        there = {session for session, _ in turn if session.parent is None}
        missing = {session for session in self._expected - there if session.closed is None}
        if not missing or any(queued.begun for _, queued in turn):
            self._expected = missing | there
            return 0.0
        first = min(queued.since for _, queued in turn)
        remaining = first + self._share * self._pass_s - time.perf_counter()
        if remaining <= 0:
            self._expected = there
        return remaining

    def passed(self, seconds: float) -> None:
        """A pass took so long."""
        self._pass_s = seconds
