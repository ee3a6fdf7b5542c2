"""The forks of a draft: a step for each, and their blocks in one message."""

from collections.abc import Callable
from functools import partial

from cascade.v1 import drafter_pb2 as pb

from services.errors import CascadeError

Take = Callable[[pb.DraftedBlock | CascadeError], None]


class ForkedBlocks:
    """Collects the blocks of a step's forks, and sends them when the last one is there."""

    def __init__(
        self, request: pb.DraftStep, emit: Callable[[pb.DraftedForks | CascadeError], None]
    ) -> None:
        """For the forks of ``request``."""
        self._forks = pb.DraftedForks(step_id=request.step_id)
        self._missing = len(request.forks)
        self._emit = emit
        self.steps: list[tuple[pb.DraftStep, Take]] = []
        """What each fork is to draft, and who takes it."""
        for fork in request.forks:
            step = pb.DraftStep(
                step_id=request.step_id,
                position=fork.position,
                append=[fork.id],
                max_tokens=request.fork_tokens,
                early_stop=request.early_stop,
                alternatives=request.alternatives,
                top_probs=request.top_probs,
                acceptance=request.acceptance,
                least_chance=request.least_chance,
            )
            self.steps.append((step, partial(self._take, self._forks.blocks.add())))

    def _take(self, into: pb.DraftedBlock, block: pb.DraftedBlock | CascadeError) -> None:
        """A fork's block, or the error that ends the session."""
        if isinstance(block, CascadeError):
            self._emit(block)
            return
        into.CopyFrom(block)
        self._missing -= 1
        if not self._missing:
            self._emit(self._forks)
