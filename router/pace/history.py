"""What a router's sessions have measured, by law."""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from cascade.v1 import law_pb2

from router.pace.acceptance import Acceptance
from router.pace.foresight import Foresight
from router.pace.times import Mean, Times
from router.pace.top_probs import TopProbs

LEAST_STRETCH = 32
_MOST = 256


@dataclass
class History:
    """What sessions of one law have measured."""

    acceptance: Acceptance = field(default_factory=Acceptance)
    times: Times = field(default_factory=Times)
    alone: Mean = field(default_factory=Mean)
    """Milliseconds of a token that the expert decodes alone."""
    deferrals: Mean = field(default_factory=lambda: Mean(smoothing=0.01))
    """Share of the drafted tokens that the drafter defers, where that is its own decision."""
    answers: int = 0
    """Those that could have been made on one model after the other."""
    foresight: Foresight = field(default_factory=Foresight)
    top_probs: TopProbs = field(default_factory=TopProbs)
    stretch: int = LEAST_STRETCH
    """Tokens for which the expert goes on alone before speculation is tried again."""
    reason: str = ""
    """Why it last went on alone."""
    left: int = 0
    """How many of them are left, whatever session decodes them.  0: speculate."""

    @property
    def alone_ms(self) -> float:
        """The same as ``alone``; until there was one, what the shortest verification takes."""
        return self.times.verify.of(1) if math.isnan(self.alone.value) else self.alone.value


class Histories:
    """One history for each law, whatever its seed; of the laws seen last."""

    def __init__(self) -> None:
        self._by_law: OrderedDict[Hashable, History] = OrderedDict()

    def of(self, law: law_pb2.Law) -> History:
        """The history of a law."""
        seedless = law_pb2.Law()
        seedless.CopyFrom(law)
        seedless.seed = 0
        key = seedless.SerializeToString(deterministic=True)
        history = self._by_law.setdefault(key, History())
        self._by_law.move_to_end(key)
        if len(self._by_law) > _MOST:
            self._by_law.popitem(last=False)
        return history
