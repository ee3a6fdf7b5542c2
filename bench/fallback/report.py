"""The report of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.fallback.measure import Session
from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.network.predicted import Times


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    times: Times
    round_trip_ms: float
    tokens: int
    """Of an answer."""
    hard: float
    """Acceptance of the hard case."""
    easy: float
    """After it has recovered."""
    expert: Sequence[Session]
    """The expert alone, before, between and after the hard sessions."""
    hard_sessions: Sequence[Session]
    easy_sessions: Sequence[Session]
    fair: float
    """An acceptance with which speculation pays, little."""
    fair_round_trip_ms: float
    fair_tokens: int
    fair_expert: float
    """Tokens a second of the expert alone there."""
    fair_sessions: Sequence[Session]

    @property
    def mistaken(self) -> int:
        """Sessions that went on alone although speculation pays."""
        return sum(session.alone > 0 for session in self.fair_sessions)


def to_markdown(run: Run) -> str:
    """The report for people."""
    return document(
        "# When speculation does not pay",
        bullets(
            [
                *run.machine.lines(),
                f"Simulated models: {run.times.draft_ms:g} ms for each drafted token, "
                f"{run.times.pass_ms:g} ms for each pass of the expert; real services, a relay "
                "before each model",
                "Lossless at temperature 1, all of the router's choices left to it; one session "
                "after another, the first with a router that knows nothing",
            ]
        ),
        f"## Acceptance {run.hard:g}, then {run.easy:g}; round trip {run.round_trip_ms:g} ms",
        f"Answers of {run.tokens} tokens. Beside each, the mean of the expert alone before and "
        "after it; beside those that agree again, the last one before them.",
        _hard_table(run),
        f"## Acceptance {run.fair:g}, round trip {run.fair_round_trip_ms:g} ms",
        f"{len(run.fair_sessions)} answers of {run.fair_tokens} tokens, where speculation makes "
        f"{_mean(run.fair_sessions):.1f} tokens/s and the expert alone {run.fair_expert:.1f}: "
        f"**{run.mistaken}** went on with the expert alone at some time.",
    )


def _hard_table(run: Run) -> str:
    header = ["session", "acceptance", "tokens/s", "of the expert alone", "share alone"]
    rows: list[list[Cell]] = []
    for number, session in enumerate([*run.hard_sessions, *run.easy_sessions], 1):
        hard = number <= len(run.hard_sessions)
        beside = run.expert[number - 1 : number + 1] if hard else run.expert[-1:]
        rows.append(
            [
                number,
                f"{run.hard if hard else run.easy:g}",
                f"{session.per_s:.1f}",
                f"{session.per_s / _mean(beside):.3f}",
                f"{session.alone:.2f}",
            ]
        )
    return table(header, rows)


def _mean(sessions: Sequence[Session]) -> float:
    return sum(session.per_s for session in sessions) / len(sessions)


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs."""

    def each(sessions: Sequence[Session]) -> list[dict[str, float]]:
        return [{"per_s": session.per_s, "alone": session.alone} for session in sessions]

    return {
        "machine": run.machine.to_json(),
        "round_trip_ms": run.round_trip_ms,
        "tokens": run.tokens,
        "expert": each(run.expert),
        "hard": {"acceptance": run.hard, "sessions": each(run.hard_sessions)},
        "easy": {"acceptance": run.easy, "sessions": each(run.easy_sessions)},
        "fair": {
            "acceptance": run.fair,
            "round_trip_ms": run.fair_round_trip_ms,
            "expert_per_s": run.fair_expert,
            "mistaken": run.mistaken,
            "sessions": each(run.fair_sessions),
        },
    }
