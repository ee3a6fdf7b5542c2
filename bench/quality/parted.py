"""Where lossless and the expert part: how close to each other the two tokens were."""

from collections.abc import Mapping, Sequence

from bench.near_ties.compare import Comparison
from bench.pair import Pair
from bench.prompts import encode
from bench.quality.problems import Problem
from bench.quality.summary import Judged
from bench.quality.systems import EXPERT, LOSSLESS, System


def comparisons(
    judged: Mapping[System, Sequence[Judged]],
    models: Pair,
    problems: Sequence[Problem],
    *,
    chat: bool,
) -> list[Comparison]:
    """Lossless against the expert at each problem; none where one of them was not asked.

    Args:
        judged: the answers of each system, in the order of the problems.
        models: those that were asked.
        problems: what they were asked.
        chat: whether problems were messages.
    """
    if not {EXPERT, LOSSLESS} <= judged.keys():
        return []
    texts = [(problem.name, problem.prompt) for problem in problems]
    prompts = encode(models.expert, texts, chat=chat)
    return [
        Comparison.of(prompt, expert.answer, lossless.answer)
        for prompt, expert, lossless in zip(prompts, judged[EXPERT], judged[LOSSLESS], strict=True)
    ]
