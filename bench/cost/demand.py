"""From the device time of a token to the pods of a load and their price.

Pods of a role = ceil(load * seconds a request / (gain * utilisation)), where seconds a request are
the busy seconds that one session's answer takes of one device, and gain is how many times the
tokens of one session several sessions at once make in the same time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """A drafter's and an expert's share of something: seconds, a price, pods."""

    drafter: float
    expert: float

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.drafter + other.drafter, self.expert + other.expert)

    def times(self, factor: float) -> "Parts":
        """Both, so many times."""
        return Parts(factor * self.drafter, factor * self.expert)

    @property
    def total(self) -> float:
        """Both together."""
        return self.drafter + self.expert

    @property
    def drafters_per_expert(self) -> float | None:
        """The ratio; None where no expert is needed."""
        return self.drafter / self.expert if self.expert else None


@dataclass(frozen=True)
class Gain:
    """What several sessions at once are worth."""

    times: float
    """Tokens a second of all together, by those of one alone."""
    basis: str
    """Where it was measured; for a report."""


@dataclass(frozen=True)
class Mode:
    """What a mode, or a mixture of them, takes of the devices for a thousand tokens delivered."""

    name: str
    label: str
    """What a report calls it."""
    alone: Parts
    """Busy seconds of each device, with one session at a time."""
    at_once: Parts
    """The same with the sessions that the gain is of."""
    gain: Gain | None
    """None: not measured, or not of all that is in a mixture; what is not is taken as 1."""


def mode(name: str, label: str, alone: Parts, gain: Gain | None) -> Mode:
    """A mode, of its busy seconds with one session at a time."""
    return Mode(name, label, alone, alone.times(1.0 / gain.times) if gain else alone, gain)


def mixture(parts: Sequence[tuple[Mode, float]]) -> Mode:
    """Several modes, each delivering its share of the tokens.

    Args:
        parts: modes and their shares, above 0; the shares sum to 1.
    """
    alone = at_once = Parts(0.0, 0.0)
    for part, share in parts:
        alone, at_once = alone + part.alone.times(share), at_once + part.at_once.times(share)
    gain = None
    if all(part.gain for part, _ in parts):
        gain = Gain(alone.total / at_once.total, "of the modes in it")
    label = " + ".join(f"{share:.0%} {part.name}" for part, share in parts)
    return Mode("mixture", label, alone, at_once, gain)


@dataclass(frozen=True)
class Load:
    """What is asked of the service."""

    requests_per_s: float
    answer_tokens: float
    """Mean tokens of an answer."""
    utilisation: float
    """The most of its time that a device may be busy, above 0 and up to 1."""


@dataclass(frozen=True)
class Fleet:
    """The pods for a load, one device each."""

    busy: Parts
    """Devices' worth of work at any time: busy seconds a second."""
    drafters: int
    experts: int

    @property
    def utilisation(self) -> tuple[float | None, float | None]:
        """Of drafters and experts: the share of their time that they are busy; None without any."""
        return (
            self.busy.drafter / self.drafters if self.drafters else None,
            self.busy.expert / self.experts if self.experts else None,
        )

    @property
    def pods(self) -> Parts:
        """How many of each."""
        return Parts(self.drafters, self.experts)


def fleet(at_once: Parts, load: Load) -> Fleet:
    """The fewest pods that keep to the utilisation.

    Args:
        at_once: busy seconds of each device for a thousand tokens.
        load: what is asked.
    """
    busy = at_once.times(load.requests_per_s * load.answer_tokens / 1000.0)
    return Fleet(
        busy,
        drafters=math.ceil(busy.drafter / load.utilisation),
        experts=math.ceil(busy.expert / load.utilisation),
    )


def price(amount: Parts, per_hour: Parts) -> Parts:
    """What so many device seconds of each cost, given the price of a device hour."""
    return Parts(
        amount.drafter * per_hour.drafter / 3600.0, amount.expert * per_hour.expert / 3600.0
    )
