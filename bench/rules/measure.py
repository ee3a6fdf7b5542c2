"""All rules on one pair at one temperature."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.progress import Bar
from bench.rules.regret import regret
from services.calibrate.collect import collect
from services.calibrate.curve import Point, point
from services.calibrate.grids import default_alphas
from services.calibrate.prompts import Prompt
from services.calibrate.services import Services
from services.calibrate.setting import Setting
from services.rules.distribution import Sampling
from services.rules.registry import RULES


@dataclass(frozen=True)
class Measured:
    """A rule at one alpha."""

    point: Point
    regret: float
    """Nats (``bench.rules.regret``), mean over prompts of the mean over positions."""


@dataclass(frozen=True)
class Curves:
    """What came of a pair at a temperature."""

    pair: str
    prompts_are: str
    """What the prompts are, in words."""
    setting: Setting
    """Of the answers; its rule and alphas count for nothing here."""
    prompts: int
    tokens: int
    """Positions that every rule was evaluated at."""
    lossless: Measured
    rules: dict[str, list[Measured]]
    """Of each other rule, by its alphas."""


def measure(
    services: Services,
    pair: str,
    prompts_are: str,
    prompts: Sequence[Prompt],
    setting: Setting,
    bar: Bar,
) -> Curves:
    """Answers and scores each prompt once; evaluates every rule on that.

    Args:
        services: of the pair.
        pair: its name.
        prompts_are: what the prompts are, in words.
        prompts: at least one.
        setting: of temperature 0, or 1 without truncation.
        bar: advanced by one for each prompt.

    Raises:
        CalibrationError: a service refused or lost a call.
    """
    positions = []
    for sample in collect(services, setting, prompts):
        positions.append(sample.positions)
        bar.advance()
    sampling = Sampling(setting.temperature, setting.top_k, setting.top_p)
    greedy = setting.temperature == 0

    def curve(name: str) -> list[Measured]:
        rule = RULES[name]
        return [
            Measured(
                point(rule, alpha, positions, sampling, setting.block_length),
                statistics.fmean(
                    float(regret(rule, alpha, at, greedy=greedy).mean()) for at in positions
                ),
            )
            for alpha in default_alphas(name)
        ]

    return Curves(
        pair=pair,
        prompts_are=prompts_are,
        setting=setting,
        prompts=len(prompts),
        tokens=sum(map(len, positions)),
        lossless=curve("lossless")[0],
        rules={name: curve(name) for name in RULES if name != "lossless"},
    )
