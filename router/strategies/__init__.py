"""One strategy for each mode: who is asked for what, in which order.

A strategy is an asynchronous generator over the two sessions' protocols.  It gives the emitted
tokens of each round and ends at ``max_tokens`` or behind a final token; its caller may stop asking
at any time.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from cascade.v1 import law_pb2

from router.strategies.alone import decode_alone, draft_alone
from router.strategies.speculative import speculate
from router.strategies.task import Emitted, Task

Strategy = Callable[[Task], AsyncIterator[Emitted]]


@dataclass(frozen=True)
class ModeStrategy:
    """How a mode is carried out."""

    run: Strategy
    needs_drafter: bool
    needs_expert: bool


STRATEGIES: dict[int, ModeStrategy] = {
    law_pb2.MODE_DRAFTER: ModeStrategy(draft_alone, needs_drafter=True, needs_expert=False),
    law_pb2.MODE_EXPERT: ModeStrategy(decode_alone, needs_drafter=False, needs_expert=True),
    law_pb2.MODE_SPECULATIVE: ModeStrategy(speculate, needs_drafter=True, needs_expert=True),
    law_pb2.MODE_SPECULATIVE_CASCADE: ModeStrategy(
        speculate, needs_drafter=True, needs_expert=True
    ),
}

__all__ = ["STRATEGIES", "Emitted", "ModeStrategy", "Strategy", "Task"]
