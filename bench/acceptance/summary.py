"""From times to the figures of a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.acceptance.steps import Timed


@dataclass(frozen=True)
class Summary:
    """A law at a length of blocks: medians over repeats."""

    rows: int
    """Of the pass, whose logits were computed: the block, and one more where a bonus may follow."""
    pass_ms: float
    after_ms: float
    """All that was done with the pass's logits."""

    @property
    def share(self) -> float:
        """What came after the pass, as a share of it."""
        return self.after_ms / self.pass_ms


def summarise(rows: int, timed: Sequence[Timed]) -> Summary:
    """The figures of at least one repeat."""
    return Summary(
        rows=rows,
        pass_ms=1000 * median(t.pass_s for t in timed),
        after_ms=1000 * median(t.after_s for t in timed),
    )


@dataclass(frozen=True)
class Growth:
    """The rules' procedure for one session, and for several in one call: medians over repeats."""

    sessions: int
    """In one call."""
    alone_ms: float
    """A call for one session, on average over the same sessions."""
    together_ms: float
    """A session's share of a call for all."""

    @property
    def ratio(self) -> float:
        """Above 1, sessions cost more together than one after the other."""
        return self.together_ms / self.alone_ms


def growth(sessions: int, alone_s: Sequence[float], together_s: Sequence[float]) -> Growth:
    """The figures.

    Args:
        sessions: in one call.
        alone_s: of each repeat, at least one: all sessions one after the other.  Their sum and not
            the median of the calls, as a session whose block is accepted whole costs less.
        together_s: of each repeat: one call for all.
    """
    return Growth(
        sessions=sessions,
        alone_ms=1000 * median(alone_s) / sessions,
        together_ms=1000 * median(together_s) / sessions,
    )
