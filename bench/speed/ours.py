"""This project's answers, through the router."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import law_pb2, router_pb2

from bench.answer import Answer
from bench.client import Client
from bench.speed.systems import MODES, System


@dataclass(frozen=True)
class Drafts:
    """How far a round drafts; what is None is the router's choice."""

    block_length: int | None = None
    early_stop: float | None = None
    """Top probability; 0: all drafts have the block length."""

    def __str__(self) -> str:
        if self.block_length is not None:
            length = f"is {self.block_length}"
        else:
            length = "is the router's choice"
        if self.early_stop is None:
            return length + ("" if self.block_length else ", and so is where a draft ends before")
        if not self.early_stop:
            return length + "; no draft ends before"
        return length + f"; a draft ends before with a top probability below {self.early_stop:g}"


def answer(
    client: Client,
    system: System,
    prompt: Sequence[int],
    max_tokens: int,
    drafts: Drafts,
) -> Answer:
    """One greedy answer of one of our systems; everything else is the router's default.

    But speculation goes on where it does not pay: it is what is measured.

    Raises:
        ServiceFailed: the call failed.
    """
    request = router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=prompt),
        mode=MODES[system],
        temperature=0.0,
        max_tokens=max_tokens,
        block_length=drafts.block_length,
        early_stop=drafts.early_stop,
        allow_expert_alone=False,
    )
    return client.answer(request)
