"""One measured answer, whatever system gave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade.v1 import router_pb2
from google.protobuf.json_format import MessageToDict, ParseDict


@dataclass(frozen=True)
class Answer:
    """An answer and when its parts came; times in seconds from the call, as the caller saw."""

    token_ids: tuple[int, ...]
    """Without the end token."""
    end_token_id: int | None
    """The end token that ended it; None where its length or a stop string did."""
    first_s: float
    """Until the first token came."""
    total_s: float
    """Until the call was over."""
    groups: int
    """In how many pieces the tokens came.  Assisted generation sends one for each round."""
    statistics: router_pb2.Statistics | None = None
    """What the router counted; None where there is no router."""
    stop_string: str | None = None
    """The stop string that ended it, if one did."""
    first_tokens: int = 1
    """How many came first, together: a whole round's, where it is drafted.  A rate of decoding
    begins behind them."""

    @property
    def emitted(self) -> tuple[int, ...]:
        """The tokens with the end token, if any."""
        end = () if self.end_token_id is None else (self.end_token_id,)
        return self.token_ids + end

    def to_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        statistics = self.statistics
        return {
            "token_ids": list(self.token_ids),
            "end_token_id": self.end_token_id,
            "stop_string": self.stop_string,
            "first_s": self.first_s,
            "total_s": self.total_s,
            "groups": self.groups,
            "first_tokens": self.first_tokens,
            "statistics": statistics
            and MessageToDict(statistics, preserving_proto_field_name=True),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Answer":
        """What ``to_json`` gave; other entries beside it count for nothing.

        Raises:
            KeyError, TypeError, ParseError: it is not.
        """
        statistics = values["statistics"]
        return cls(
            token_ids=tuple(values["token_ids"]),
            end_token_id=values["end_token_id"],
            stop_string=values["stop_string"],
            first_s=values["first_s"],
            total_s=values["total_s"],
            groups=values["groups"],
            first_tokens=values.get("first_tokens", 1),
            # A field that a later contract has dropped is no reason to ask again.
            statistics=None
            if statistics is None
            else ParseDict(dict(statistics), router_pb2.Statistics(), ignore_unknown_fields=True),
        )


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Index of the first token that differs, or that only one of the two has.  None: equal."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return None if len(one) == len(other) else min(len(one), len(other))
