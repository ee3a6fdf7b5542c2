"""One strategy for each mode: who is asked for what, in which order.

A strategy is an asynchronous generator over the two sessions' protocols.  It gives the emitted
tokens of each round and ends at ``max_tokens`` or behind a final token; its caller may stop asking
at any time.
"""

from collections.abc import AsyncIterator, Callable

from cascade.v1 import law_pb2

from router.strategies.alone import decode_alone, draft_alone
from router.strategies.sequence_cascade import sequence_cascade
from router.strategies.speculative import speculate
from router.strategies.task import Emitted, Task
from router.strategies.token_cascade import token_cascade

Strategy = Callable[[Task], AsyncIterator[Emitted]]

STRATEGIES: dict[int, Strategy] = {
    law_pb2.MODE_DRAFTER: draft_alone,
    law_pb2.MODE_EXPERT: decode_alone,
    law_pb2.MODE_SEQUENCE_CASCADE: sequence_cascade,
    law_pb2.MODE_TOKEN_CASCADE: token_cascade,
    law_pb2.MODE_SPECULATIVE: speculate,
    law_pb2.MODE_SPECULATIVE_CASCADE: speculate,
}

__all__ = ["STRATEGIES", "Emitted", "Strategy", "Task"]
