"""What a strategy is given."""

from dataclasses import dataclass

from cascade.v1 import expert_pb2

from router.recorder import Recorder
from router.request import Request
from router.sessions import DrafterSession, ExpertSession

Emitted = list[expert_pb2.EmittedToken]
"""The tokens that one round decided, in order.  At least one."""


@dataclass(frozen=True)
class Task:
    """One answer to make."""

    request: Request
    recorder: Recorder
    drafter: DrafterSession | None
    """None in modes that need none."""
    expert: ExpertSession | None
    """None in modes that need none."""
