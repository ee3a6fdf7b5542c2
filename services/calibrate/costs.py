"""What a round costs, in steps of the expert alone, and the speed that follows."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import law_pb2, router_pb2


@dataclass(frozen=True)
class Costs:
    """Mean times of decoding, the prompts' own passes left out, ms."""

    drafter_step_ms: float
    """One token of the drafter, in its engine."""
    expert_step_ms: float
    """One token of the expert alone, in its engine."""
    round_ms: float
    """A round of the lossless answers, as the router saw it: everything in it."""
    block_length: int
    """Tokens drafted in a round."""

    @property
    def drafter(self) -> float:
        """``c``: a step of the drafter, in steps of the expert."""
        return self.drafter_step_ms / self.expert_step_ms

    @property
    def other(self) -> float:
        """``o``: what a round costs beside its drafting and one step of the expert, in such steps.

        Network, waiting and router, and what a block costs the expert more than one token.
        """
        return self.round_ms / self.expert_step_ms - self.block_length * self.drafter - 1

    def speed_up(self, tokens_per_round: float) -> float:
        """Against the expert alone: tokens a round / (block length * c + 1 + o)."""
        return tokens_per_round / (self.block_length * self.drafter + 1 + self.other)


def costs_of(
    answers: Sequence[router_pb2.Statistics],
    drafter_steps: Sequence[law_pb2.StepTiming],
    expert_steps: Sequence[law_pb2.StepTiming],
    block_length: int,
) -> Costs | None:
    """From the statistics of lossless answers and the timings of steps behind a read prompt.

    The first round of each answer is left out, since it reads the prompt.

    Returns:
        The costs; None: no answer has a second round.
    """
    rounds = sum(s.rounds - 1 for s in answers)
    decoding_ms = sum(s.total_ms - s.time_to_first_token_ms for s in answers)
    if rounds <= 0 or decoding_ms <= 0:
        return None
    return Costs(
        drafter_step_ms=_pass_ms(drafter_steps),
        expert_step_ms=_pass_ms(expert_steps),
        round_ms=decoding_ms / rounds,
        block_length=block_length,
    )


def _pass_ms(steps: Sequence[law_pb2.StepTiming]) -> float:
    return sum(s.compute_ms for s in steps) / sum(s.passes for s in steps)
