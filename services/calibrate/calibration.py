"""A calibration from its prompts to its result."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.calibrate.choice import choose
from services.calibrate.collect import Sample, collect
from services.calibrate.costs import Costs, costs_of
from services.calibrate.curve import Point, point
from services.calibrate.errors import BadOption
from services.calibrate.live import Live, run_live, summarise
from services.calibrate.progress import Bars
from services.calibrate.prompts import Prompt
from services.calibrate.services import Services
from services.calibrate.setting import Limits, Setting
from services.rules.distribution import Sampling
from services.rules.registry import RULES, Rule


@dataclass(frozen=True)
class Calibration:
    """What came of it."""

    setting: Setting
    limits: Limits
    models: dict[str, str]
    """Drafter and expert, with their precision and device."""
    prompts: int
    tokens: int
    """Positions that were evaluated, of all continuations."""
    costs: Costs | None
    """None: no answer went on after its first round."""
    lossless: Point
    """The lossless rule on the same positions."""
    points: list[Point]
    """The rule, in the order of its alphas."""
    chosen: Point | None
    """The recommendation.  None: no limit was given, or no alpha satisfies the limits."""
    live: Live | None
    """The recommendation run on the same prompts."""

    @property
    def within_promise(self) -> bool | None:
        """Whether the live distance is within the limit.  None: there is none, or none ran."""
        if self.live is None or self.limits.max_distance is None:
            return None
        return self.live.distance.mean <= self.limits.max_distance


def calibrate(
    services: Services, setting: Setting, limits: Limits, prompts: Sequence[Prompt], bars: Bars
) -> Calibration:
    """Collects, evaluates, chooses, and runs the choice.

    Raises:
        BadOption: a limit, and too few prompts for a bound.
        ServiceFailed: a service can't be reached, or refused a call.
    """
    if limits and len(prompts) < 2:
        option = "--max-expert-share" if limits.max_distance is None else "--max-distance"
        raise BadOption(option, f"a bound takes at least 2 prompts, got {len(prompts)}")
    models = services.models()
    bars.begin("answering and scoring", len(prompts))
    samples: list[Sample] = []
    for sample in collect(services, setting, prompts):
        samples.append(sample)
        bars.advance()
    costs = costs_of(
        [sample.answer.statistics for sample in samples],
        [sample.drafter_steps for sample in samples],
        [sample.expert_steps for sample in samples],
        setting.block_length,
    )
    positions = [sample.positions for sample in samples]
    sampling = Sampling(setting.temperature, setting.top_k, setting.top_p)

    def evaluated(rule: Rule, alpha: float) -> Point:
        return point(rule, alpha, positions, sampling, setting.block_length, costs)

    points = [evaluated(setting.definition, alpha) for alpha in setting.alphas]
    chosen = choose(points, limits) if limits else None
    live: Live | None = None
    if chosen is not None:
        bars.begin(f"running alpha {chosen.alpha:g} and the expert", len(prompts))
        pairs = []
        for pair in run_live(services, setting, chosen.alpha, prompts):
            pairs.append(pair)
            bars.advance()
        live = summarise(pairs)
    return Calibration(
        setting=setting,
        limits=limits,
        models={
            role: f"{info.model} ({info.dtype} {info.device})" for role, info in models.items()
        },
        prompts=len(prompts),
        tokens=sum(map(len, positions)),
        costs=costs,
        lossless=evaluated(RULES["lossless"], 0.0),
        points=points,
        chosen=chosen,
        live=live,
    )
