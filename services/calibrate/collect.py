"""A continuation of each prompt, and what both models say of it.

Each continuation follows the expert's law: it is a lossless answer (at temperature 0 the expert's
greedy one).  It is scored once by each model, and every alpha of every rule is then evaluated on
these scores.  That is *off-policy*: an answer of the rule itself would take other turns wherever
the rule departs from the expert.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2

from services.calibrate.errors import ServiceFailed
from services.calibrate.positions import TIES, Positions, drafted, positions_of
from services.calibrate.prompts import Prompt
from services.calibrate.services import Answer, Services
from services.calibrate.setting import Setting
from services.tokens import extend_hash

_MAX_SCORED = 256
"""Tokens of a continuation that a step scores."""
_TIMED_TOKENS = 8
"""Steps that are timed behind each prompt, of either model."""


@dataclass(frozen=True)
class Sample:
    """What is known of one prompt."""

    prompt: Prompt
    answer: Answer
    """The lossless answer."""
    positions: Positions
    """Of each of its tokens."""
    drafter_steps: law_pb2.StepTiming
    """Some steps of the drafter behind the prompt, which it had read."""
    expert_steps: law_pb2.StepTiming
    """The same of the expert alone."""


def collect(services: Services, setting: Setting, prompts: Sequence[Prompt]) -> Iterator[Sample]:
    """Samples of the prompts, one after another as they come.

    Raises:
        ServiceFailed: a service can't be reached, or refused a call; the text names the prompt.
    """
    for index, prompt in enumerate(prompts):
        try:
            yield _sample(services, setting, prompt, index)
        except ServiceFailed as error:
            raise ServiceFailed(f"{prompt.name}: {error}") from error


def _sample(services: Services, setting: Setting, prompt: Prompt, index: int) -> Sample:
    answer = services.answer(setting.lossless_request(prompt, index))
    law, context = answer.started.law, list(answer.started.prompt_token_ids)
    timed = min(_TIMED_TOKENS, setting.max_tokens)
    greedy = setting.temperature == 0
    of_drafter, drafter_steps = _score_drafter(
        services,
        law,
        context,
        _steps(context, answer.ids, min(TIES, setting.candidates) if greedy else law.candidates),
        timed,
    )
    also = [[token for token, _ in drafted(p, greedy=greedy)] for p in of_drafter]
    of_expert, expert_steps = _score_expert(
        services, law, context, _steps(context, answer.ids, TIES, also), timed
    )
    return Sample(
        prompt=prompt,
        answer=answer,
        positions=positions_of(of_drafter, of_expert, setting.temperature),
        drafter_steps=drafter_steps,
        expert_steps=expert_steps,
    )


def _steps(
    context: Sequence[int],
    continuation: Sequence[int],
    candidates: int,
    also: Sequence[Sequence[int]] = (),
) -> list[law_pb2.ScoreStep]:
    """Steps that score a whole continuation."""
    return [
        law_pb2.ScoreStep(
            step_id=begin + 1,
            position=len(context) + begin if begin else 0,
            append=() if begin else context,
            continuation=continuation[begin : begin + _MAX_SCORED],
            candidates=candidates,
            also=[law_pb2.TokenIds(ids=ids) for ids in also[begin : begin + _MAX_SCORED]],
        )
        for begin in range(0, len(continuation), _MAX_SCORED)
    ]


def _score_drafter(
    services: Services,
    law: law_pb2.Law,
    context: Sequence[int],
    steps: Sequence[law_pb2.ScoreStep],
    timed: int,
) -> tuple[list[law_pb2.ScoredPosition], law_pb2.StepTiming]:
    """The drafter's scores, and the time of some of its steps behind the context."""
    request = drafter_pb2.DraftRequest
    timed_step = drafter_pb2.DraftStep(
        step_id=steps[-1].step_id + 1, position=len(context), max_tokens=timed
    )
    responses = services.draft(
        [
            request(open=drafter_pb2.OpenDraft(law=law)),
            *(request(score=step) for step in steps),
            request(draft=timed_step),
        ]
    )
    scored = [p for r in responses if r.HasField("scored") for p in r.scored.positions]
    return scored, responses[-1].block.timing


def _score_expert(
    services: Services,
    law: law_pb2.Law,
    context: Sequence[int],
    steps: Sequence[law_pb2.ScoreStep],
    timed: int,
) -> tuple[list[law_pb2.ScoredPosition], law_pb2.StepTiming]:
    """The same of the expert."""
    request = expert_pb2.VerifyRequest
    timed_step = expert_pb2.DecodeStep(
        step_id=steps[-1].step_id + 1,
        position=len(context),
        prefix_hash=extend_hash(0, context),
        max_tokens=timed,
        piece_length=timed,
    )
    responses = services.verify(
        [
            request(open=expert_pb2.OpenVerify(law=law)),
            *(request(score=step) for step in steps),
            request(decode=timed_step),
        ]
    )
    scored = [p for r in responses if r.HasField("scored") for p in r.scored.positions]
    return scored, responses[-1].decoded.timing
