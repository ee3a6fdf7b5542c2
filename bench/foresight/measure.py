"""Asks for answers with more and more alternatives."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cascade.v1 import law_pb2, router_pb2

from bench.answer import Answer
from bench.client import Client
from bench.progress import Bar
from bench.prompts import Prompt


@dataclass(frozen=True)
class Setting:
    """What is varied."""

    temperature: float
    alternatives: int
    """Prepared for at each position of a block."""


@dataclass
class Measured:
    """The answers of a setting."""

    setting: Setting
    answers: list[Answer] = field(default_factory=list)

    def total(self, name: str) -> float:
        """A statistic, summed over the answers."""
        return float(sum(getattr(answer.statistics, name) for answer in self.answers))

    @property
    def tokens(self) -> int:
        """Tokens that were decided."""
        return sum(len(answer.emitted) for answer in self.answers)

    def foreseen(self, count: int) -> float | None:
        """Share of the rejected tokens that one of the first ``count`` alternatives replaced."""
        rejections = self.total("rejections")
        return self._replaced(count) / rejections if rejections else None

    def ready_in_time(self, count: int) -> float | None:
        """Share of those whose block was there when the verdict came."""
        replaced = self._replaced(count)
        return self.total("forks_used") / replaced if replaced else None

    def _replaced(self, count: int) -> int:
        found = 0
        for answer in self.answers:
            assert answer.statistics is not None, "the router counts"
            found += sum(answer.statistics.rejections_by_alternative[:count])
        return found


def measure(
    client: Client,
    prompts: Sequence[Prompt],
    settings: Sequence[Setting],
    max_tokens: int,
    block_length: int,
    bar: Bar,
) -> list[Measured]:
    """An answer for each prompt and setting: by prompt, so that all see the same machine."""
    measured = [Measured(setting) for setting in settings]
    for seed, prompt in enumerate(prompts):
        for one in measured:
            bar.say(
                f"{prompt.name}: T = {one.setting.temperature:g}, "
                f"{one.setting.alternatives} alternatives"
            )
            one.answers.append(
                client.answer(
                    router_pb2.GenerateRequest(
                        token_ids=law_pb2.TokenIds(ids=prompt.token_ids),
                        mode=law_pb2.MODE_SPECULATIVE,
                        temperature=one.setting.temperature,
                        seed=seed,
                        max_tokens=max_tokens,
                        block_length=block_length,
                        draft_ahead=1,
                        alternatives=one.setting.alternatives,
                        allow_expert_alone=False,
                    )
                )
            )
            bar.advance()
    return measured
