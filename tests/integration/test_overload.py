"""More than a router carries: the rest is refused with a time, what is let in is served."""

import asyncio

from bench.overload.measure import measure
from bench.overload.services import limited


def test_ten_times_the_capacity() -> None:
    sessions, waiting = 2, 1
    with limited(sessions, waiting) as address:
        found = asyncio.run(measure(address, sessions, times=10.0, seconds=3.0))
    outcomes = found.outcomes
    assert outcomes.failed == []
    assert outcomes.refused_ms
    assert outcomes.without_retry == 0
    assert outcomes.finished + len(outcomes.refused_ms) == outcomes.offered
    assert outcomes.finished > sessions + waiting, "those that ended made room for others"
    assert found.answered_after
