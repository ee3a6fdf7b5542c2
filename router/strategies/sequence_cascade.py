"""The drafter answers, or the expert if the drafter is not sure enough: MODE_SEQUENCE_CASCADE.

Given a deferral the drafter's answer no longer follows q: the expert starts from nothing, with
noise that the drafter did not use.  Only at temperature 0, where an answer has no chance in it, it
may verify the drafter's instead (docs/rules.md, "The cascades that go one after the other").
"""

import math
from collections.abc import AsyncIterator, Sequence

from cascade.v1 import expert_pb2, law_pb2

from router.sessions import ExpertSession
from router.strategies.alone import decode_alone, decode_from, draft_from, drafters_word
from router.strategies.task import Emitted, Task
from services.errors import EngineFailed
from services.tokens import TokenSequence

_VERIFY = 64
"""Tokens of the drafter's answer that the expert verifies in one pass."""


async def sequence_cascade(task: Task) -> AsyncIterator[Emitted]:
    """The drafter's whole answer at once, or the expert's as it comes."""
    request, law = task.request, task.request.law
    drafter = await task.open_drafter()
    answer = task.new_answer()
    drafted: list[law_pb2.DraftedToken] = []
    async for piece in draft_from(task, drafter, request.tokens()):
        drafted.extend(piece)
        answer.take([drafters_word(t) for t in piece])
        if answer.reason:  # a stop string, too, ends what the drafter is judged by
            break
    drafter.close()
    if not defers(law, [t.log_prob for t in drafted]):
        emitted = [drafters_word(t) for t in drafted]
        for token in emitted:
            if token.HasField("log_probs"):  # the target of a whole answer is not known by tokens
                token.log_probs.ClearField("target")
        task.recorder.emitted(emitted)
        yield emitted
    elif law.temperature == 0:
        async for emitted in _verify_answer(task, [t.id for t in drafted]):
            yield emitted
    else:
        async for emitted in decode_alone(task):
            yield emitted


def defers(law: law_pb2.Law, log_probs: Sequence[float]) -> bool:
    """Whether the drafter's confidence in its answer is too low.

    Args:
        law: says which statistic, and its limit log(1 - alpha).
        log_probs: unscaled, nats, of every token of the answer, end token included.
    """
    quantile = law.confidence_statistic == law_pb2.CONFIDENCE_STATISTIC_QUANTILE
    value = (
        _quantile(log_probs, law.confidence_quantile)
        if quantile
        else math.fsum(log_probs) / len(log_probs)
    )
    return value < (math.log(1 - law.alpha) if law.alpha < 1 else -math.inf)


def _quantile(values: Sequence[float], level: float) -> float:
    """With linear interpolation between the two values beside it."""
    ordered = sorted(values)
    place = level * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


async def _verify_answer(task: Task, drafted: list[int]) -> AsyncIterator[Emitted]:
    """The expert's greedy answer: the part it shares with the drafter's is verified."""
    request, expert = task.request, await task.open_expert()
    tokens = request.tokens()
    start, end = len(tokens), len(tokens) + request.max_tokens
    seen = 0
    while (done := len(tokens) - start) < len(drafted) and tokens.since(start) == drafted[:done]:
        block = [law_pb2.DraftedToken(id=t) for t in drafted[done : done + _VERIFY]]
        task.recorder.sent(len(block))
        verdict = await _verify_block(expert, tokens, seen, block)
        emitted = list(verdict.tokens)[: end - len(tokens)]
        task.recorder.verified(len(block), verdict)
        task.recorder.round()
        task.recorder.emitted(emitted)
        tokens.extend(t.id for t in emitted)
        seen = len(tokens)
        yield emitted
        if tokens.ids[-1] in request.final_token_ids:
            return
    async for emitted in decode_from(task, expert, tokens, seen):
        yield emitted


async def _verify_block(
    expert: ExpertSession,
    tokens: TokenSequence,
    at_expert: int,
    block: list[law_pb2.DraftedToken],
) -> expert_pb2.Verdict:
    """A verdict on a block after ``tokens``; replays them all where the expert has others.

    Raises:
        EngineFailed: the expert has others even then.
    """
    for position in (at_expert, 0):
        verdict = await expert.verify(position, tokens.since(position), tokens.hash(), block)
        if not verdict.stale:
            return verdict
    raise EngineFailed("expert: stale, even after a replay of all tokens")
