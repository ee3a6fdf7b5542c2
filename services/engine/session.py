"""A session: the tokens of one answer, and the part of the cache that holds them.

A *fork* of a session begins with its tokens and goes on otherwise, for a step that runs beside the
session's own.  It lasts until the session's next step begins, which takes over what the cache holds
of a fork where its tokens go on from there.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain, count

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
    _fork_numbers = count(1 << 62)

    def __init__(self, model: Model, parent: "Session | None" = None, length: int = 0) -> None:
        """Without tokens, or a fork with the first ``length`` tokens of ``parent``."""
        self.number = next(self._fork_numbers if parent else self._numbers)
        """Sessions are numbered as they open; forks come after all of them."""
        self.parent = parent
        """Whose fork it is."""
        self.forks: list[Session] = []
        """The engine's: those of the step that runs, or ran last."""
        self.tokens: TokenSequence = parent.tokens.first(length) if parent else TokenSequence()
        self._inherited = length
        """How many of them are its parent's."""
        self.slot: Slot = parent.slot.fork(length) if parent else model.new_slot()
        self.timing = Timing()
        """Of all its steps."""
        self.ran = 0.0
        """When its last pass ended, on ``time.perf_counter``'s clock."""
        self.steps: deque[Queued] = deque()
        """The engine's: what is still to be done, in order."""
        self.drained: list[Future[None]] = []
        """The engine's: done once nothing is."""
        self.closed: Future[None] | None = None
        """The engine's: done once no pass uses the slot.  None: the session is open."""

    def rebase(self, position: int, append: list[int]) -> None:
        """Truncates to ``position`` tokens and appends; takes over the fork that has most of it."""
        self.tokens.truncate(position)
        self._inherited = min(self._inherited, position)
        self.slot.truncate(position)
        self.tokens.extend(append)
        for fork in self.forks:
            start = min(position, fork._inherited, fork.slot.length)
            common = start + _common(fork.slot.tokens[start:], self.tokens.since(start))
            if common > self.slot.length:
                self.slot, fork.slot = fork.slot, self.slot
                self.slot.truncate(common)

    def all_steps(self) -> Iterator[Queued]:
        """Its own and those of its forks."""
        return chain(self.steps, *(fork.steps for fork in self.forks))

    def unseen(self) -> list[int]:
        """The tokens that the model has to see before the next token's logits: at least one."""
        self.slot.truncate(len(self.tokens) - 1)
        return self.tokens.since(self.slot.length)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
