"""What a request leaves out."""

from typing import Any

import pytest
from cascade.v1 import law_pb2, router_pb2

from router.pace import Overlap
from router.request import resolve
from tests.unit.text_samples import byte_level


@pytest.mark.parametrize(
    ("fields", "early_stop"),
    [
        ({}, None),
        ({"block_length": 5}, 0.0),
        ({"early_stop": 0.0}, 0.0),
        ({"early_stop": 0.4}, 0.4),
        ({"block_length": 5, "early_stop": 0.4}, 0.4),
    ],
)
def test_blocks_of_a_given_length_are_drafted_whole(
    fields: dict[str, Any], early_stop: float | None
) -> None:
    """Else the router chooses where drafts end, unless the request says it."""
    request = router_pb2.GenerateRequest(
        token_ids=law_pb2.TokenIds(ids=[1, 2]), mode=law_pb2.MODE_SPECULATIVE, **fields
    )
    resolved = resolve(
        request,
        byte_level(),
        context_length=100,
        end_token_ids=frozenset(),
        overlap=Overlap(),
    )
    assert resolved.early_stop == early_stop
