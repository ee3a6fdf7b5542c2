"""The foresight bench: what it counts, and how it tells."""

from cascade.v1 import router_pb2

from bench.foresight.measure import Measured, Setting
from bench.foresight.report import Run, to_json, to_markdown
from tests.unit.bench_samples import an_answer
from tests.unit.test_bench_report import MACHINE, row


def measured(alternatives: int) -> Measured:
    answers = [
        an_answer(
            10,
            statistics=router_pb2.Statistics(
                rounds=rounds,
                rejections=rejections,
                rejections_by_alternative=by_alternative,
                forks=forks,
                forks_used=used,
                blocks_ahead_used=1,
                drafter_tokens=30,
                draft_ms=100,
            ),
        )
        for rounds, rejections, by_alternative, forks, used in (
            (4, 3, [1, 1], 12, 1),
            (6, 5, [2, 0], 20, 2),
        )
    ]
    return Measured(Setting(0.0, alternatives), answers)


def test_the_share_of_rejections_foreseen_grows_with_the_alternatives() -> None:
    one = measured(2)
    assert one.foreseen(1) == 3 / 8
    assert one.foreseen(2) == one.foreseen(4) == 4 / 8
    assert Measured(Setting(0.0, 1)).foreseen(1) is None


def test_the_report_says_what_was_ready_and_what_it_cost() -> None:
    run = Run(MACHINE, ("a", "b"), "float32", 10, 5, 2, [measured(2)])
    assert row(to_markdown(run), "0") == [
        *("2", "8", "0.50", "0.75", "3 of 32", "10", "0.50", "0.20", "0.30", "3.00", "10.0")
    ]
    assert to_json(run)["settings"][0]["foreseen"] == [3 / 8, 4 / 8]
