"""What a router's sessions have measured, by law."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from cascade.v1 import law_pb2

from router.pace.acceptance import Acceptance
from router.pace.foresight import Foresight
from router.pace.load import Load, Loads
from router.pace.mean import Mean
from router.pace.times import Draft, Pass, Times
from router.pace.top_probs import TopProbs

_MOST = 256


@dataclass
class History:
    """What sessions of one law have measured."""

    acceptance: Acceptance = field(default_factory=Acceptance)
    loads: Loads = field(default_factory=Loads)
    """What steps take and sessions make, by how many there are."""
    deferrals: Mean = field(default_factory=lambda: Mean(smoothing=0.01))
    """Share of the drafted tokens that the drafter defers, where that is its own decision."""
    running: int = 0
    """Sessions that decode now, on whatever pods."""
    answers: int = 0
    """Those that could have been made on one model after the other."""
    foresight: Foresight = field(default_factory=Foresight)
    top_probs: TopProbs = field(default_factory=TopProbs)

    @property
    def load(self) -> Load:
        """What was measured with as many sessions as there are."""
        return self.loads.now

    @property
    def times(self) -> Times:
        """What steps take with them."""
        return self.load.times

    def verified(
        self, length: int, found: Pass, trip_ms: float | None = None, draft: Draft | None = None
    ) -> None:
        """A block was verified; see `Times.verified`.

        Args:
            length: tokens.
            found: the mean of its passes.
            trip_ms: milliseconds beside these.
            draft: what was drafted before it.  With how many sessions, this verification tells.
        """
        if self.loads.passed(found):
            self.times.verified(length, found, trip_ms)
            if draft:
                self.times.drafted(draft)

    def decoded(self, found: Pass, token_ms: float | None = None) -> None:
        """The expert has decoded by itself; see `Load.decoded`."""
        if self.loads.passed(found):
            self.load.decoded(found, token_ms)


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
