"""The report of a run."""

from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from bench.machine import Machine
from bench.markdown import bullets, document, table
from bench.overload.measure import TOKENS, Measured
from bench.overload.services import AGREEMENT, DRAFTER_MS, EXPERT_MS


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    max_sessions: int
    max_waiting: int
    times: float
    """What was offered, by the peak's answers."""
    measured: Measured


def refusal_ms(refused: list[float]) -> tuple[float, float, float] | None:
    """Median, 99th percentile and most; None where nothing was refused."""
    if not refused:
        return None
    tail = quantiles(refused, n=100)[98] if len(refused) > 1 else refused[0]
    return median(refused), tail, max(refused)


def findings(run: Run) -> list[str]:
    """What must not be: calls that failed otherwise, refusals without a time, no answer after."""
    measured, out = run.measured, []
    outcomes = measured.outcomes
    if outcomes.failed:
        out.append(f"Failed: {len(outcomes.failed)} calls, the first {outcomes.failed[0]}")
    if outcomes.without_retry:
        out.append(f"Refused without RetryInfo: {outcomes.without_retry}")
    if not outcomes.refused_ms:
        out.append("Nothing was refused: this was no overload")
    if not measured.answered_after:
        out.append("A request afterwards was not served")
    return out


def to_markdown(run: Run) -> str:
    """The report for people."""
    measured, outcomes = run.measured, run.measured.outcomes
    facts = [
        f"Simulated models, {DRAFTER_MS:g} and {EXPERT_MS:g} ms a pass, agreement {AGREEMENT:g}; "
        f"answers of {TOKENS} tokens; all processes on one machine, loopback",
        f"`--max-sessions {run.max_sessions} --max-waiting {run.max_waiting}`; {run.times:g} times "
        f"the peak's answers offered for {measured.seconds:g} s",
        "A request afterwards was served" if measured.answered_after else "",
        *findings(run),
    ]
    times = refusal_ms(outcomes.refused_ms)
    shown = [f"{value:.1f}" for value in times] if times else [None] * 3
    return document(
        "# Overload",
        bullets([*run.machine.lines(), *filter(None, facts)]),
        table(
            ["", "answers offered a second", "tokens/s"],
            [
                [
                    "peak",
                    f"{measured.peak_answers_per_s:.1f}",
                    f"{measured.peak_tokens_per_s:.0f}",
                ],
                [
                    "overload",
                    f"{outcomes.offered / measured.seconds:.1f}",
                    f"{measured.tokens_per_s:.0f} ({measured.goodput:.0%} of the peak)",
                ],
            ],
        ),
        table(
            ["offered", "served", "refused", "refusal, median ms", "99th percentile", "most"],
            [[outcomes.offered, outcomes.finished, len(outcomes.refused_ms), *shown]],
        ),
        "*Refusal* is from the call to its status, as the client has it.",
    )


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": run.machine.to_json(),
        "max_sessions": run.max_sessions,
        "max_waiting": run.max_waiting,
        "times": run.times,
        "goodput": run.measured.goodput,
        "measured": asdict(run.measured),
    }
