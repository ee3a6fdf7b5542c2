"""What a strategy is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cascade.v1 import expert_pb2

from router.answer import Answer
from router.pace import History
from router.recorder import Recorder
from router.request import Request
from router.sessions import DrafterSession, ExpertSession

Emitted = list[expert_pb2.EmittedToken]
"""The tokens that one round decided, in order.  At least one."""


@dataclass(frozen=True)
class Task:
    """One answer to make.  A strategy opens the sessions that it needs, when it needs them."""

    request: Request
    recorder: Recorder
    history: History
    """What sessions of the same law have measured."""
    open_drafter: Callable[[], Awaitable[DrafterSession]]
    open_expert: Callable[[], Awaitable[ExpertSession]]
    new_answer: Callable[[], Answer]
    """Makes an answer that nobody is sent, to see where tokens would end it."""
