"""From measured answers to the figures of a report.

For each system and problem the repeat of median total time counts, with all of its figures; sums
and ratios over problems are made of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.answer import Answer

Answers = Mapping[str, Sequence[Answer]]
"""The answers of one system: of each problem, one for each repeat, at least one."""


@dataclass(frozen=True)
class RoundTime:
    """Where the time of a mean round goes, the prompt's passes included."""

    rounds: int
    draft_ms: float
    """In the drafter's engine."""
    verify_ms: float
    """In the expert's engine."""
    else_ms: float
    """All the rest, as the client saw it."""
    else_of_decoding: float
    """The rest of the whole answer, by the time after the first token: an upper bound of its share
    in a round without a prompt."""

    @property
    def total_ms(self) -> float:
        """A mean round."""
        return self.draft_ms + self.verify_ms + self.else_ms

    def share(self, part_ms: float) -> float:
        """A part of the mean round."""
        return part_ms / self.total_ms


@dataclass(frozen=True)
class Summary:
    """One system's figures over all problems."""

    tokens: int
    tokens_per_s: float
    """All tokens by all time."""
    slowest_per_s: float
    """The same of the slowest repeat."""
    fastest_per_s: float
    """The same of the fastest repeat."""
    first_ms: float
    """Time to the first token, median over problems."""
    decode_per_s: float | None
    """Tokens after the first by the time after the first."""
    tokens_per_round: float | None
    """None where nothing is drafted or the number of rounds is not known."""
    acceptance: float | None
    """accepted / reached."""
    draft_efficiency: float | None
    """accepted / drafted."""
    round: RoundTime | None
    """None where there is no router to tell."""


def typical(repeats: Sequence[Answer]) -> Answer:
    """The answer of median total time; of an even number, the faster of the middle two."""
    return sorted(repeats, key=lambda answer: answer.total_s)[(len(repeats) - 1) // 2]


def rate(answers: Sequence[Answer]) -> float:
    """All tokens by all time."""
    return sum(len(a.token_ids) for a in answers) / sum(a.total_s for a in answers)


def summarise(answers: Answers, *, grouped: bool) -> Summary:
    """The figures of one system.

    Args:
        answers: its answers; each problem has as many repeats.
        grouped: whether each group of streamed tokens is a round.
    """
    chosen = [typical(repeats) for repeats in answers.values()]
    by_repeat = [rate(answers) for answers in zip(*answers.values(), strict=True)]
    stats = [a.statistics for a in chosen if a.statistics is not None]
    drafted, reached, accepted = (
        sum(getattr(s, name) for s in stats) for name in ("drafted", "reached", "accepted")
    )
    rounds = sum(a.groups for a in chosen) if grouped else sum(s.rounds for s in stats)
    drafts = grouped or drafted > 0
    return Summary(
        tokens=sum(len(a.token_ids) for a in chosen),
        tokens_per_s=rate(chosen),
        slowest_per_s=min(by_repeat),
        fastest_per_s=max(by_repeat),
        first_ms=1000 * median(a.first_s for a in chosen),
        decode_per_s=_decode_rate(chosen),
        tokens_per_round=_ratio(sum(len(a.emitted) for a in chosen), rounds) if drafts else None,
        acceptance=_ratio(accepted, reached),
        draft_efficiency=_ratio(accepted, drafted),
        round=_round_time(chosen),
    )


def _decode_rate(answers: Sequence[Answer]) -> float | None:
    tokens = sum(max(len(a.token_ids) - a.first_tokens, 0) for a in answers)
    return _ratio(tokens, sum(a.total_s - a.first_s for a in answers))


def _round_time(answers: Sequence[Answer]) -> RoundTime | None:
    timed = [(a, a.statistics) for a in answers if a.statistics is not None]
    rounds = sum(s.rounds for _, s in timed)
    if not rounds:
        return None
    draft, verify = sum(s.draft_ms for _, s in timed), sum(s.verify_ms for _, s in timed)
    # What the router could not see is the way between the client and it.
    rest = sum(s.queue_ms + s.other_ms + (1000 * a.total_s - s.total_ms) for a, s in timed)
    decoding = sum(1000 * (a.total_s - a.first_s) for a, _ in timed)
    return RoundTime(
        rounds=rounds,
        draft_ms=draft / rounds,
        verify_ms=verify / rounds,
        else_ms=rest / rounds,
        else_of_decoding=rest / decoding,
    )


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None
