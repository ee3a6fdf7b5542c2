"""What is expected of a round, by the length of its block."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from router.pace.top_probs import Split


class Expected(NamedTuple):
    """Of a block that is drafted up to a position, unless its draft stops before."""

    drafted: float
    """Its tokens, on average."""
    decided: float
    """Tokens of the round but a bonus, on average: those accepted, and what replaces the next."""
    rejected: float
    """The chance that the token at this position is."""
    whole: float
    """The chance that all are accepted."""


def expected(rates: Sequence[float], split: Split) -> Iterator[Expected]:
    """One for each position.

    Args:
        rates: of acceptance, by position.
        split: where drafts stop early.
    """
    drafted, decided, going_on, stopped, drafting = 0.0, 0.0, 1.0, 0.0, 1.0
    for rate in rates:
        drafted += drafting
        drafting *= 1 - split.drafted_below
        decided += going_on
        ends, goes_on = split.accepted(rate)
        rejected = going_on * (1 - ends - goes_on)
        stopped += going_on * ends
        going_on *= goes_on
        yield Expected(drafted, decided, rejected, going_on + stopped)
