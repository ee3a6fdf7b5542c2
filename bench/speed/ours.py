"""This project's answers, through the router."""

from collections.abc import Sequence

from cascade.v1 import law_pb2, router_pb2

from bench.answer import Answer
from bench.client import Client
from bench.speed.systems import MODES, System


def answer(
    client: Client,
    system: System,
    prompt: Sequence[int],
    max_tokens: int,
    block_length: int | None,
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
        block_length=block_length,
        allow_expert_alone=False,
    )
    return client.answer(request)
