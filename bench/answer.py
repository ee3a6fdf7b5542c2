"""One measured answer, whatever system gave it."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import router_pb2


@dataclass(frozen=True)
class Answer:
    """An answer and when its parts came; times in seconds from the call, as the caller saw."""

    token_ids: tuple[int, ...]
    """Without the end token."""
    end_token_id: int | None
    """The end token that ended it; None where its length did."""
    first_s: float
    """Until the first token came."""
    total_s: float
    """Until the call was over."""
    groups: int
    """In how many pieces the tokens came.  Assisted generation sends one for each round."""
    statistics: router_pb2.Statistics | None = None
    """What the router counted; None where there is no router."""

    @property
    def emitted(self) -> tuple[int, ...]:
        """The tokens with the end token, if any."""
        end = () if self.end_token_id is None else (self.end_token_id,)
        return self.token_ids + end


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Index of the first token that differs, or that only one of the two has.  None: equal."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return None if len(one) == len(other) else min(len(one), len(other))
