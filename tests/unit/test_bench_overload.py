"""The report of bench.overload: goodput, refusals, and what must not be."""

from bench.machine import Watch
from bench.overload.measure import Measured, Outcomes
from bench.overload.report import Run, findings, refusal_ms, to_json, to_markdown


def test_what_is_reported() -> None:
    run = _run(Outcomes(offered=1000, finished=90, refused_ms=[1.0] * 900 + [5.0] * 10))
    assert findings(run) == []
    text = to_markdown(run)
    assert "| overload | 100.0 | 380 (95% of the peak) |" in text
    assert "| 1000 | 90 | 910 | 1.0 | 5.0 | 5.0 |" in text
    assert "A request afterwards was served" in text
    assert to_json(run)["goodput"] == 0.95


def test_what_must_not_be_is_named() -> None:
    outcomes = Outcomes(offered=10, finished=8, failed=["INTERNAL: why", "x"], without_retry=3)
    assert findings(_run(outcomes, answered_after=False)) == [
        "Failed: 2 calls, the first INTERNAL: why",
        "Refused without RetryInfo: 3",
        "Nothing was refused: this was no overload",
        "A request afterwards was not served",
    ]
    assert refusal_ms([]) is None
    assert refusal_ms([2.0]) == (2.0, 2.0, 2.0)


def _run(outcomes: Outcomes, *, answered_after: bool = True) -> Run:
    measured = Measured(10.0, 400.0, 10.0, 380.0, outcomes, answered_after)
    return Run(Watch("bench.overload").machine(), 8, 8, 10.0, measured)
