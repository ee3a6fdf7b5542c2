"""What a round should take: a small model of its events.

Assumptions: the drafter takes the same time for every token, the expert the same for every pass; a
round trip R on each of the two links, the same both ways, and nothing else takes time.  Of a block
of n tokens a round emits E = (1 - a^n) / (1 - a), a being the chance of each to be accepted after
those before it (no bonus token: lossless at temperature 1, independent coins).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Step times, milliseconds."""

    draft_ms: float = 4.0
    """Of a drafted token."""
    pass_ms: float = 30.0
    """Of a pass of the expert."""


@dataclass(frozen=True)
class Point:
    """What is varied."""

    acceptance: float
    round_trip_ms: float
    block_length: int
    ahead: int
    """Blocks drafted ahead: 0 is no overlap."""


def tokens_per_round(acceptance: float, block_length: int) -> float:
    """E, the tokens that a round emits on average."""
    return sum(acceptance**j for j in range(block_length))


def round_ms(times: Times, point: Point, whole: float) -> float:
    """Mean time of a round.

    Without overlap every round drafts, sends, verifies and sends back.  With it, the block after
    one that was accepted whole has been drafted meanwhile, and takes as long as the slower one.

    Args:
        times: of the steps.
        point: what the round is like.
        whole: share of the blocks that are accepted whole.
    """
    n, r = point.block_length, point.round_trip_ms
    apart = times.draft_ms * n + times.pass_ms + 2 * r
    if not point.ahead:
        return apart
    return whole * (max(times.pass_ms, times.draft_ms * n) + r) + (1 - whole) * apart


def rate(times: Times, point: Point) -> float:
    """Expected tokens a second."""
    a, n = point.acceptance, point.block_length
    return 1000 * tokens_per_round(a, n) / round_ms(times, point, a**n)


def alone(times: Times) -> float:
    """Tokens a second of the expert alone, streamed."""
    return 1000 / times.pass_ms
