"""The report of bench.capacity: medians, and what was wanted and not reached."""

from bench.bare import Bare, Sizes
from bench.capacity.measure import Added, Load
from bench.capacity.report import Run, findings, to_json, to_markdown
from bench.machine import Watch


def test_a_run_within_its_limits_has_nothing_to_tell() -> None:
    assert findings(_run([1400, 1600, 1700], [Added(3.0, 1.5, 0.5)])) == []


def test_what_was_not_reached_is_named_with_what_was_wanted() -> None:
    found = findings(
        _run([900, 1000, 2000], [Added(4.0, 1.5, 0.5), Added(3.8, 1.5, 0.5), Added(9.0, 1.5, 0.5)])
    )
    assert found == [
        "Out of its limit: 1,000 rounds/s, wanted 1,500",
        "Out of its limit: 2.00 ms added, wanted 1.5",
    ]


def test_the_report_has_every_number_of_sessions_and_all_repeats() -> None:
    run = _run([1500, 1600, 1700], [Added(3.0, 2, 0.5)])
    assert "| 64 | 1,600 | 0.40 | 62% | 1.00 |" in to_markdown(run)
    assert "| 64 | 2,400 | 0.39 | 94% | 0.30 |" in to_markdown(run)
    assert "| 3.00 | 2.00 | 0.50 | 0.50 |" in to_markdown(run)
    alone = "3,200 rounds/s, 0.20 ms of its CPU each: the router alone comes to 75%"
    assert alone in to_markdown(run)
    assert [load["rounds_per_s"] for load in to_json(run)["loads"][0]] == [1500, 1600, 1700]


def _run(rates: list[float], added: list[Added]) -> Run:
    loads = [Load(64, rate, 0.4, 0.62, 1.0) for rate in rates]
    machine = Watch("bench.capacity").machine()
    limits = [Bare(64, 3200.0, 0.2)]
    sizes, undecided = Sizes(60, 1500, 1400, 100), [Load(64, 2400.0, 0.39, 0.94, 0.3)]
    return Run(machine, 0.8, 5.0, True, [loads], added, undecided, sizes, limits)
