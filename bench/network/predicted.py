"""What a round should take: a small model of its events.

Assumptions: the drafter takes the same time for every token, the expert the same for every pass; a
round trip R on each of the two links, the same both ways, and nothing else takes time.  Of a block
of n tokens a round emits E = (1 - a^n) / (1 - a), a being the chance of each to be accepted after
those before it (no bonus token: lossless at temperature 1, independent coins).  A rejected token is
the drafter's next-best with a given chance; forks cost nothing beside the passes that they share.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Step times, milliseconds."""

    draft_ms: float = 4.0
    """Of a drafted token."""
    pass_ms: float = 30.0
    """Of a pass of the expert."""


@dataclass(frozen=True, order=True)
class Overlap:
    """What the drafter does while the expert verifies."""

    ahead: int = 0
    """Blocks drafted ahead: 0 is no overlap."""
    alternatives: int = 0
    """Tokens in place of each one of a block for which it prepares what would follow."""

    def __str__(self) -> str:
        if not self.ahead:
            return "no overlap"
        return f"{self.ahead} ahead" + (f", {self.alternatives} alt." if self.alternatives else "")


@dataclass(frozen=True)
class Point:
    """What is varied."""

    acceptance: float
    round_trip_ms: float
    block_length: int
    overlap: Overlap


def tokens_per_round(acceptance: float, block_length: int) -> float:
    """E, the tokens that a round emits on average."""
    return sum(acceptance**j for j in range(block_length))


def round_ms(times: Times, point: Point, ready: float) -> float:
    """Mean time of a round.

    Without overlap every round drafts, sends, verifies and sends back.  With it, the block after
    one that was accepted whole has been drafted meanwhile, and so has that after a rejection that
    was prepared for: such a round takes as long as the slower model.

    Args:
        times: of the steps.
        point: what the round is like.
        ready: share of the blocks whose next one had been drafted meanwhile.
    """
    n, r = point.block_length, point.round_trip_ms
    apart = times.draft_ms * n + times.pass_ms + 2 * r
    if not point.overlap.ahead:
        return apart
    return ready * (max(times.pass_ms, times.draft_ms * n) + r) + (1 - ready) * apart


def rate(times: Times, point: Point, foreseen: float = 0.0) -> float:
    """Expected tokens a second.

    Args:
        times: of the steps.
        point: what the rounds are like.
        foreseen: the chance that a rejected token is the drafter's next-best.
    """
    a, n = point.acceptance, point.block_length
    hit = foreseen if point.overlap.alternatives else 0.0
    return 1000 * tokens_per_round(a, n) / round_ms(times, point, a**n + (1 - a**n) * hit)


def alone(times: Times) -> float:
    """Tokens a second of the expert alone, streamed."""
    return 1000 / times.pass_ms


def tokens_within(rate_: float, seconds: float) -> int:
    """Of an answer that takes about so long: at least two, since a rate needs a first one."""
    return max(round(rate_ * seconds), 2)
