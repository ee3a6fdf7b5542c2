"""An answer as it comes in, and as plain values for JSON."""

import math
from dataclasses import dataclass, field
from typing import Any

from cascade.v1 import expert_pb2, router_pb2
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

Token = router_pb2.GeneratedToken

# A FieldDescriptor of whichever of protobuf's implementations is in use.
_Field = Any

_DRAFTERS = {expert_pb2.ORIGIN_ACCEPTED, expert_pb2.ORIGIN_TRUSTED, expert_pb2.ORIGIN_DRAFTER}


@dataclass
class Answer:
    """What has come of an answer so far."""

    started: router_pb2.Started = field(default_factory=router_pb2.Started)
    tokens: list[Token] = field(default_factory=list)
    finished: router_pb2.Finished | None = None

    def take(self, response: router_pb2.GenerateResponse) -> list[Token]:
        """Takes the next message; gives the tokens in it."""
        event = response.WhichOneof("event")
        if event == "started":
            self.started = response.started
        elif event == "finished":
            self.finished = response.finished
        new = list(response.tokens.tokens)
        self.tokens += new
        return new

    @property
    def text(self) -> str:
        """The tokens' text."""
        return "".join(token.text for token in self.tokens)

    @property
    def ids(self) -> list[int]:
        """The tokens' ids."""
        return [token.id for token in self.tokens]

    @property
    def origins(self) -> list[str]:
        """Whose word each token is."""
        return [origin_name(token.origin) for token in self.tokens]

    @property
    def drafter_share(self) -> float | None:
        """The share of tokens that are the drafter's; None where there are no tokens."""
        if not self.tokens:
            return None
        return sum(token.origin in _DRAFTERS for token in self.tokens) / len(self.tokens)

    @property
    def tokens_per_second(self) -> float | None:
        """Over all: the prompt's time included.  None before the end."""
        if self.finished is None or not self.finished.statistics.total_ms:
            return None
        return len(self.tokens) / self.finished.statistics.total_ms * 1000

    def plain(self, *, unfinished: str = "cancelled") -> dict[str, Any]:
        """Values for JSON; ``unfinished``: the ``finish_reason`` where the end did not come."""
        finished = self.finished
        values = {} if finished is None else plain(finished)
        return {
            "text": self.text,
            "token_ids": self.ids,
            "origins": self.origins,
            **self._log_probs(),
            "finish_reason": values.pop("reason", unfinished),
            "end_token_id": values.get("end_token_id"),
            "stop_string": values.get("stop_string"),
            "usage": values.get("usage"),
            "statistics": finished
            and {
                **values["statistics"],
                "tokens_per_second": self.tokens_per_second,
                "drafter_share": self.drafter_share,
            },
            "seed": self.started.law.seed,
            "law": plain(self.started.law),
            "request_id": self.started.request_id,
        }

    def _log_probs(self) -> dict[str, Any]:
        """Of each token, where they were asked for; None for what can't be known."""
        if not any(token.HasField("log_probs") for token in self.tokens):
            return {}
        return {"log_probs": [plain(token.log_probs) for token in self.tokens]}


def common_prefix(ids: list[int], others: list[int]) -> int:
    """The number of leading tokens that two answers share."""
    pairs = enumerate(zip(ids, others, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(ids), len(others)))


def agreement(ids: list[int], others: list[int]) -> float:
    """The shared leading tokens as a share of the longer answer; 1 for two empty ones."""
    longer = max(len(ids), len(others))
    return common_prefix(ids, others) / longer if longer else 1.0


def origin_name(origin: int) -> str:
    """``accepted`` for ``ORIGIN_ACCEPTED``."""
    return _enum_name(expert_pb2.Origin.DESCRIPTOR, origin)


def plain(message: Message) -> dict[str, Any]:
    """A message as plain values: enums by their short names, None for what is unset."""
    return {
        name: _plain(field, getattr(message, name))
        if not field.has_presence or message.HasField(name)
        else None
        for name, field in message.DESCRIPTOR.fields_by_name.items()
    }


def _plain(field: _Field, value: Any) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_scalar(field, item) for item in value]
    return _scalar(field, value)


def _scalar(field: _Field, value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")  # as protobuf does
    return _enum_name(field.enum_type, value) if field.enum_type else value


def _enum_name(enum: EnumDescriptor, number: int) -> str:
    """The name without what all names of the enum begin with; the number where it has none."""
    if number not in enum.values_by_number:
        return str(number)
    zero: str = enum.values_by_number[0].name
    return enum.values_by_number[number].name.removeprefix(zero[: -len("UNSPECIFIED")]).lower()
