"""The benchmark's client and the processes that it starts."""

from pathlib import Path

import pytest
from cascade.v1 import law_pb2

from bench.client import Client
from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.peers.transformers import Assistance, Peers
from bench.services import service
from bench.speed.ours import Drafts, answer
from bench.speed.systems import System
from tests.services import Services

TINY = Path(__file__).parents[1] / "tiny"
PAIR = Pair(TINY / "drafter", TINY / "expert", "float32")
PROMPT = list(b"def add(a, b):\n    return a")


def test_ours_is_measured_on_the_same_question(tiny_services: Services) -> None:
    theirs = Peers(PAIR).answer(Assistance.NONE, PROMPT, 20)
    with Client(tiny_services.address) as client:
        alone = answer(client, System.EXPERT, PROMPT, 20, Drafts())
        drafted = answer(client, System.SPECULATIVE, PROMPT, 20, Drafts(block_length=2))
        law = client.laws[law_pb2.MODE_SPECULATIVE]
    assert alone.emitted == drafted.emitted == theirs.emitted
    assert 0 < drafted.first_s < drafted.total_s
    assert drafted.statistics is not None
    assert drafted.statistics.block_length <= 2
    assert drafted.groups <= drafted.statistics.rounds < len(drafted.emitted)
    assert (law.rule, law.temperature) == (law_pb2.RULE_LOSSLESS, 0)


def test_a_refused_request_is_told_in_one_line(tiny_services: Services) -> None:
    with (
        Client(tiny_services.address) as client,
        pytest.raises(ServiceFailed, match=r"^Generate: INVALID_ARGUMENT: .*max_tokens"),
    ):
        answer(client, System.EXPERT, PROMPT, 100_000, Drafts())


def test_a_service_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        service(tmp_path, "drafter", "services.nothing", []) as nothing,
        pytest.raises(ServiceFailed, match=r"^the drafter did not start: .*services.nothing"),
    ):
        nothing.address(timeout_s=60)
