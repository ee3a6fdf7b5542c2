"""The network bench: what it predicts, and how it tells."""

from pathlib import Path

import pytest

from bench.network.measure import Chosen, Measured
from bench.network.plot import save_plot
from bench.network.predicted import (
    Overlap,
    Point,
    Times,
    alone,
    rate,
    round_ms,
    tokens_per_round,
    tokens_within,
)
from bench.network.report import Run, to_json, to_markdown
from tests.unit.test_bench_report import MACHINE, row

TIMES = Times(4.0, 30.0)


def test_a_round_without_overlap_does_one_thing_after_the_other() -> None:
    point = Point(acceptance=0.85, round_trip_ms=10.0, block_length=5, overlap=Overlap())
    assert round_ms(TIMES, point, ready=0.4) == 4 * 5 + 30 + 2 * 10
    expected = (1 - 0.85**5) / (1 - 0.85)
    assert tokens_per_round(0.85, 5) == pytest.approx(expected)
    assert rate(TIMES, point) == pytest.approx(1000 * expected / 70)
    assert alone(TIMES) == pytest.approx(1000 / 30)


@pytest.mark.parametrize(("length", "slower"), [(5, 30.0), (12, 48.0)])
def test_after_a_full_acceptance_the_slower_of_the_two_counts(length: int, slower: float) -> None:
    point = Point(acceptance=0.9, round_trip_ms=1.0, block_length=length, overlap=Overlap(1))
    assert round_ms(TIMES, point, ready=1.0) == slower + 1
    assert round_ms(TIMES, point, ready=0.0) == 4 * length + 30 + 2
    a = 0.9**length
    mean = a * (slower + 1) + (1 - a) * (4 * length + 32)
    assert rate(TIMES, point) == pytest.approx(1000 * tokens_per_round(0.9, length) / mean)


def test_what_the_issue_is_about_pays_as_predicted() -> None:
    """One block ahead, over the best fixed block without: gains by acceptance and round trip."""

    def best(a: float, trip: float, *overlap: int) -> float:
        points = [Point(a, trip, n, Overlap(*overlap)) for n in range(1, 33)]
        return max(rate(TIMES, point, 0.6) for point in points)

    assert best(0.85, 10.0, 1, 1) / best(0.85, 10.0, 0) > 1.35
    assert best(0.85, 10.0, 1) / best(0.85, 10.0, 0) > 1.12
    assert best(0.85, 1.0, 1) / best(0.85, 1.0, 0) > 1.14
    assert best(0.95, 1.0, 1) / best(0.95, 1.0, 0) > 1.25
    assert best(0.6, 40.0, 1) < alone(TIMES)


def test_answers_take_about_as_long_as_each_other() -> None:
    slow, fast = Point(0.6, 40.0, 1, Overlap()), Point(0.95, 0.0, 12, Overlap(1, 1))
    for point in (slow, fast):
        tokens = tokens_within(rate(TIMES, point, 0.6), seconds=3.0)
        assert tokens / rate(TIMES, point, 0.6) == pytest.approx(3.0, rel=0.05)
    assert tokens_within(0.1, 3.0) == 2


def a_run() -> Run:
    place = (10.0, 0.85)
    measured = [
        Measured(
            Point(0.85, 10.0, n, Overlap(ahead)),
            per_s=[rate_],
            predicted_per_s=[rate_ / (0.95 if ahead else 0.92)],
            predicted_over_bare_per_s=[rate_ / 0.98],
            ready=[0.5],
            foreseen=[0.25],
        )
        for n, ahead, rate_ in ((4, 0, 40.0), (8, 0, 50.0), (4, 1, 60.0), (8, 1, 55.0))
    ]
    return Run(
        machine=MACHINE,
        times=TIMES,
        foreseen=0.6,
        seconds=3.0,
        repeats=1,
        bare_trips={place: 11.4},
        alone={place: 33.0},
        chosen={
            (place, Overlap()): Chosen(8, per_s=[47.0], fixed_per_s=[50.0]),
            (place, Overlap(1)): Chosen(
                4, per_s=[66.0, 60.0, 66.0], fixed_per_s=[60.0, 60.0, 55.0]
            ),
        },
        measured=measured,
    )


def test_the_report_names_the_best_block_and_its_gain() -> None:
    text = to_markdown(a_run(), "network.png")
    # (4 * 4 + 30 + 20) and (8 * 4 + 30 + 20) ms, at 0.92 of the speed.
    assert "takes 6.4 ms more than predicted (5.7 to 7.1)" in text
    assert (
        "Of 4 points 2 come within 7% of what is predicted, or do better; over bare streams 4"
        in text
    )
    assert "0.95 of the best fixed block 1 times, the least 0.94; at least 0.97" in text
    assert "of the expert alone 2 times, the least 1.42" in text
    best = row(text, "10")
    assert best[:6] == ["0.85", "33.0", "50.0", "8", "0.92", "0.98"]
    assert best[6:] == ["60.0", "4", "0.95", "0.98", "1.20"]
    assert "do nothing else: 11.4 ms for 10" in text
    chosen = row(text, "10", 1)
    assert chosen[:5] == ["0.85", "47.0", "8", "0.94", "1.42"]
    assert chosen[5:] == ["66.0", "4", "1.10", "2.00"]
    assert to_json(a_run())["points"][0]["per_s"] == [40.0]
    assert to_json(a_run())["chosen"][1]["fixed_per_s"] == [60.0, 60.0, 55.0]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    assert save_plot(a_run(), tmp_path).read_bytes().startswith(b"\x89PNG")
