"""The fallback bench: how it tells."""

from cascade.v1 import router_pb2

from bench.fallback.measure import Session
from bench.fallback.report import Run, to_json, to_markdown
from bench.network.predicted import Times
from tests.unit.test_bench_report import MACHINE, row


def session(per_s: float, alone: int = 0) -> Session:
    origins = {"ORIGIN_EXPERT": alone, "ORIGIN_ACCEPTED": 100 - alone}
    return Session(per_s, router_pb2.Statistics(tokens_by_origin=origins))


RUN = Run(
    machine=MACHINE,
    times=Times(),
    round_trip_ms=10.0,
    tokens=512,
    hard=0.2,
    easy=0.85,
    expert=[session(32.0), session(34.0), session(36.0)],
    hard_sessions=[session(30.0, 60), session(35.0, 100)],
    easy_sessions=[session(54.0)],
    fair=0.6,
    fair_round_trip_ms=1.0,
    fair_tokens=128,
    fair_expert=33.0,
    fair_sessions=[session(40.0), session(30.0, 1)],
)


def test_each_session_stands_beside_the_expert_alone_around_it() -> None:
    text = to_markdown(RUN)
    assert row(text, "1") == ["0.2", "30.0", "0.909", "0.60"]
    assert row(text, "2") == ["0.2", "35.0", "1.000", "1.00"]
    assert row(text, "3") == ["0.85", "54.0", "1.500", "0.00"]
    assert "makes 35.0 tokens/s and the expert alone 33.0: **1** went on" in text
    assert to_json(RUN)["fair"]["mistaken"] == 1
