"""Waiting until a moment, more exactly than sleeping does."""

import time

_SPIN_S = 0.0002
"""Sleeping takes longer than it should by about so much."""


def sleep_until(when: float) -> None:
    """Waits, to a few microseconds.  ``when``: on ``time.perf_counter``'s clock."""
    if (left := when - time.perf_counter()) > _SPIN_S:
        time.sleep(left - _SPIN_S)
    while time.perf_counter() < when:
        pass
