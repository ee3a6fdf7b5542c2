"""The recommended setting, run on the same prompts beside the expert alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cascade.v1 import router_pb2

from services.calibrate.errors import ServiceFailed
from services.calibrate.estimate import Estimate, estimate
from services.calibrate.prompts import Prompt
from services.calibrate.services import Services
from services.calibrate.setting import Setting

Pair = tuple[router_pb2.Statistics, router_pb2.Statistics]
"""How one prompt's answer of the rule went, and that of the expert alone."""


@dataclass(frozen=True)
class Live:
    """What was measured, to be held against what was predicted."""

    distance: Estimate
    """Of each answer the mean TV(pi, p) over its own positions."""
    acceptance: float
    """accepted / reached, mean over prompts."""
    tokens_per_round: float
    """Tokens of all prompts by their rounds."""
    tokens_per_s: float
    """Tokens of all answers by their time, the prompts' passes included."""
    expert_tokens_per_s: float
    """The same of the expert alone."""
    decoding_speed_up: float | None
    """Tokens by time of decoding, the prompts' passes left out, against the expert alone.  This is
    what is predicted.  None: no answer went on after its first round."""

    @property
    def speed_up(self) -> float:
        """Against the expert alone, the prompts' passes included."""
        return self.tokens_per_s / self.expert_tokens_per_s


def run_live(
    services: Services, setting: Setting, alpha: float, prompts: Sequence[Prompt]
) -> Iterator[Pair]:
    """Answers each prompt by the rule and by the expert alone, in turn.

    Raises:
        ServiceFailed: the router can't be reached, or refused a call; the text names the prompt.
    """
    for index, prompt in enumerate(prompts):
        try:
            rule = services.answer(setting.rule_request(prompt, index, alpha))
            expert = services.answer(setting.expert_request(prompt, index))
        except ServiceFailed as error:
            raise ServiceFailed(f"{prompt.name}: {error}") from error
        yield rule.statistics, expert.statistics


def summarise(pairs: Sequence[Pair]) -> Live:
    """The figures of all prompts together, at least one."""
    ours, experts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rounds = sum(s.rounds for s in ours)
    later_rounds = sum(s.rounds - 1 for s in ours)
    later_tokens = sum(_tokens(s) - 1 for s in experts)
    speed_up: float | None = None
    if later_rounds and later_tokens:
        round_ms = sum(map(_decoding_ms, ours)) / later_rounds
        step_ms = sum(map(_decoding_ms, experts)) / later_tokens
        speed_up = sum(map(_tokens, ours)) / rounds * step_ms / round_ms
    return Live(
        distance=estimate([s.distance for s in ours]),
        acceptance=sum(s.acceptance_rate for s in ours) / len(ours),
        tokens_per_round=sum(map(_tokens, ours)) / rounds,
        tokens_per_s=_rate(ours),
        expert_tokens_per_s=_rate(experts),
        decoding_speed_up=speed_up,
    )


def _tokens(statistics: router_pb2.Statistics) -> int:
    """Tokens that were decided, the end token included."""
    return sum(statistics.tokens_by_origin.values())


def _decoding_ms(statistics: router_pb2.Statistics) -> float:
    """Time after the first round, or the expert's first token."""
    return statistics.total_ms - statistics.time_to_first_token_ms


def _rate(answers: Sequence[router_pb2.Statistics]) -> float:
    return 1000 * sum(map(_tokens, answers)) / sum(s.total_ms for s in answers)
