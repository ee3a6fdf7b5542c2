"""From the router's counts of bytes to bytes for each drafted token."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cascade.v1 import expert_pb2, law_pb2, router_pb2

from services.rules.law import Crossing

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Bytes:
    """Bytes of protobuf messages, whole: opening, every step and every answer to one.

    What gRPC and HTTP/2 put around a message (5 bytes and a frame's 9) is not in it.
    """

    expert_up: float
    """From the router to the expert."""
    expert_down: float
    """From the expert to the router."""
    drafter_up: float
    """From the router to the drafter."""
    drafter_down: float
    """From the drafter to the router."""
    prompt: float
    """Of ``expert_up``, and of ``drafter_up`` as much: the prompt, see ``prompt_bytes``."""


@dataclass(frozen=True)
class Traffic:
    """Of some answers together."""

    answers: int
    drafted: int
    """Tokens drafted and sent to the expert."""
    total: Bytes

    @property
    def per_token(self) -> Bytes:
        """The same for each drafted token.  The prompt is spread over them."""
        return Bytes(**{name: value / self.drafted for name, value in vars(self.total).items()})


def prompt_bytes(prompt: Sequence[int]) -> int:
    """Bytes of a prompt in the first step of a session: its field with tag, length and ids."""
    # The field has the same number with the drafter, and so the same bytes.
    return expert_pb2.VerifyStep(append=prompt).ByteSize()


def traffic(answers: Iterable[tuple[Sequence[int], router_pb2.Statistics]]) -> Traffic:
    """Adds up answers of one law: of each its prompt's ids and what the router counted."""
    counted = list(answers)
    stats = [statistics for _, statistics in counted]
    return Traffic(
        answers=len(counted),
        drafted=sum(s.drafted for s in stats),
        total=Bytes(
            expert_up=sum(s.expert_bytes_up for s in stats),
            expert_down=sum(s.expert_bytes_down for s in stats),
            drafter_up=sum(s.drafter_bytes_up for s in stats),
            drafter_down=sum(s.drafter_bytes_down for s in stats),
            prompt=sum(prompt_bytes(prompt) for prompt, _ in counted),
        ),
    )


def row_bytes(vocabulary_size: int) -> int:
    """A full distribution over the vocabulary in float32."""
    return _FLOAT32_BYTES * vocabulary_size


def described(crossing: Crossing) -> str:
    """What crosses beside a drafted token's id, in words."""
    parts = {
        "q on its candidates": crossing.candidates,
        "max q1": crossing.top_log_prob,
        "q1 of the token": crossing.log_prob,
        "the drafter's decision": crossing.defer,
    }
    return ", ".join(name for name, crosses in parts.items() if crosses) or "nothing"


@dataclass(frozen=True)
class Measured:
    """One law's traffic."""

    law: law_pb2.Law
    """As the router filled it in."""
    crossing: Crossing
    traffic: Traffic
