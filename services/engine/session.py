"""A session: the tokens of one answer, and the part of the cache that holds them."""

import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count

from torch import Tensor

from services.engine.cache import Slot
from services.engine.model import Model
from services.engine.step import Feed, Step, Timing
from services.tokens import TokenSequence


@dataclass
class Queued:
    """A step of a session, and how far it is."""

    step: Step
    since: float = field(default_factory=time.perf_counter)
    """When it last began to wait."""
    begun: bool = False
    over: bool = False
    """Done, or failed."""
    superseded: bool = False
    feed: Feed | None = None
    """What is left to feed; None: the step has to be asked."""
    logits: list[Tensor] = field(default_factory=list)
    """Of what was fed so far: [rows, V] of each pass that had any."""

    def advance(self, fed: int, logits: Tensor) -> None:
        """The first ``fed`` tokens of the feed have been fed, and gave logits [rows, V]."""
        assert self.feed is not None, "only what is there is fed"
        rest = self.feed.tokens[fed:]
        self.feed = Feed(rest, min(self.feed.rows, len(rest)))
        if len(logits):
            self.logits.append(logits.clone())  # not a view that keeps the whole pass's

    def finish_feed(self) -> None:
        """Nothing is left to feed: the step is asked next."""
        self.feed = None
        self.logits.clear()


class Session:
    """The tokens of one answer and what the model has seen of them.  The worker thread's own."""

    _numbers = count()

    def __init__(self, model: Model) -> None:
        self.number = next(self._numbers)
        """Sessions are numbered as they open."""
        self.tokens = TokenSequence()
        self.slot: Slot = model.new_slot()
        self.timing = Timing()
        """Of all its steps."""
        self.steps: deque[Queued] = deque()
        """The engine's: what is still to be done, in order."""
        self.drained: list[Future[None]] = []
        """The engine's: done once nothing is."""
        self.closed: Future[None] | None = None
        """The engine's: done once no pass uses the slot.  None: the session is open."""

    def rebase(self, position: int, append: list[int]) -> None:
        """Truncates to ``position`` tokens and appends."""
        self.tokens.truncate(position)
        self.slot.truncate(position)
        self.tokens.extend(append)

    def unseen(self) -> list[int]:
        """The tokens that the model has to see before the next token's logits: at least one."""
        self.slot.truncate(len(self.tokens) - 1)
        return self.tokens.since(self.slot.length)
