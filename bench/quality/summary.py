"""From judged answers to the figures of a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import expert_pb2

from bench.answer import Answer, first_difference
from bench.quality.interval import Interval, wilson
from bench.quality.sandbox import Judgement
from bench.speed.summary import rate

_ALONE = expert_pb2.Origin.Name(expert_pb2.ORIGIN_EXPERT)


@dataclass(frozen=True)
class Judged:
    """An answer to a problem and what its tests say."""

    problem: str
    answer: Answer
    text: str
    judgement: Judgement

    @property
    def cut(self) -> bool:
        """Whether its length ended it."""
        return self.answer.end_token_id is None and self.answer.stop_string is None


@dataclass(frozen=True)
class Summary:
    """One system over all problems."""

    passed: int
    problems: int
    pass_at_1: float
    interval: Interval
    """Of 95 % confidence."""
    tokens: int
    """Of the answers, end tokens included; what a stop string cut away is none of them."""
    tokens_per_s: float
    """All tokens by all time, end tokens not counted, as in the other benchmarks."""
    calls_per_token: float
    """Passes of the expert by the tokens that were decided, also those that were cut away."""
    cut: int
    """Answers that their length ended."""


@dataclass(frozen=True)
class Beside:
    """One system's answers beside the expert's."""

    identical: int
    """Token for token, the end token included."""
    only_expert: int
    """Problems that the expert alone solves."""
    only_system: int
    """Problems that the system alone solves."""


def summarise(of: Sequence[Judged]) -> Summary:
    """The figures of a system; at least one answer."""
    answers = [judged.answer for judged in of]
    passed = sum(judged.judgement.passed for judged in of)
    decided = sum(map(_decided, answers))
    return Summary(
        passed=passed,
        problems=len(of),
        pass_at_1=passed / len(of),
        interval=wilson(passed, len(of)),
        tokens=sum(len(answer.emitted) for answer in answers),
        tokens_per_s=rate(answers),
        calls_per_token=sum(map(expert_calls, answers)) / decided if decided else 0.0,
        cut=sum(judged.cut for judged in of),
    )


def expert_calls(answer: Answer) -> int:
    """How often the expert's model was run: once for a verified block, and for each token alone.

    The router counts a stretch that the expert decodes alone as one call, since one message asks
    for it; there is one such stretch in an answer at most.
    """
    if answer.statistics is None:
        return 0
    alone = answer.statistics.tokens_by_origin.get(_ALONE, 0)
    return answer.statistics.expert_calls + max(alone - 1, 0)


def _decided(answer: Answer) -> int:
    """Tokens, as the router counts them: before stop strings cut any away."""
    return sum(answer.statistics.tokens_by_origin.values()) if answer.statistics else 0


def beside(system: Sequence[Judged], expert: Sequence[Judged]) -> Beside:
    """Both of the same problems, in the same order."""
    pairs = list(zip(system, expert, strict=True))
    return Beside(
        identical=sum(
            first_difference(mine.answer.emitted, theirs.answer.emitted) is None
            for mine, theirs in pairs
        ),
        only_expert=sum(
            theirs.judgement.passed and not mine.judgement.passed for mine, theirs in pairs
        ),
        only_system=sum(
            mine.judgement.passed and not theirs.judgement.passed for mine, theirs in pairs
        ),
    )
