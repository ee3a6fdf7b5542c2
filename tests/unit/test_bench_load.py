"""The bench of many sessions: what it asks for, and what its report says."""

from cascade.v1 import law_pb2

from bench.load.measure import ALONE, CHOSEN, FIXED, FIXED_LENGTH, Made
from bench.load.report import Place, Run, to_json, to_markdown
from bench.network.predicted import Times
from tests.unit.test_bench_report import MACHINE


def test_all_ways_are_asked_for_the_same_tokens() -> None:
    requests = [way.request(300) for way in (ALONE, FIXED, CHOSEN)]
    assert [request.mode for request in requests] == [
        law_pb2.MODE_EXPERT,
        law_pb2.MODE_SPECULATIVE,
        law_pb2.MODE_SPECULATIVE,
    ]
    assert len({tuple(request.token_ids.ids) for request in requests}) == 1
    assert not any(request.temperature for request in requests), "lossless is the expert's then"


def test_only_the_routers_choice_leaves_it_a_choice() -> None:
    fixed, chosen = FIXED.request(1), CHOSEN.request(1)
    assert (fixed.block_length, fixed.allow_expert_alone) == (FIXED_LENGTH, False)
    assert not chosen.HasField("block_length")
    assert not chosen.HasField("allow_expert_alone")


def test_what_is_reported() -> None:
    ways = {
        ALONE.name: [Made(100.0, 1.0), Made(300.0, 1.0), Made(200.0, 1.0)],
        FIXED.name: [Made(50.0, 0.0)],
        CHOSEN.name: [Made(210.0, 0.8), Made(190.0, 0.9)],
    }
    run = Run(MACHINE, Times(4.0, 30.0), 0.85, 15.0, 10.0, {Place(3.0, 16): ways})
    assert "| 3 | 16 | 200 | 50 | 200 | 1.00 | 4.00 | 0.85 |" in to_markdown(run)
    (place,) = to_json(run)["places"]
    assert (place["token_ms"], place["sessions"]) == (3.0, 16)
    assert place["made"][FIXED.name] == [{"per_s": 50.0, "alone": 0.0}]
