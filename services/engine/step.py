"""What sessions ask an engine for, and how it is told where their time went.

A *step* is some passes of the model over a session's tokens and what to do with their logits.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from torch import Tensor

from services.errors import CascadeError

if TYPE_CHECKING:
    from services.engine.session import Session


@dataclass
class Timing:
    """Where the time of a step went so far."""

    queue_s: float = 0.0
    """Waiting for the worker."""
    passes: int = 0
    tokens: int = 0
    """Tokens fed to the model."""
    rows: int = 0
    """Of logits, computed for all sessions in the passes."""
    sessions: int = 0
    """That take part in passes lately, as of the last one."""
    found: int = 0
    """Tokens that were not fed, since another session had left them in the cache."""
    _compute_s: float = 0.0
    _started: float | None = None

    @property
    def compute_s(self) -> float:
        """In passes and in the work on their logits, the running pass included.

        A pass counts whole for each session that has a part in it.
        """
        running = 0.0 if self._started is None else time.perf_counter() - self._started
        return self._compute_s + running

    def start(self, queued_since: float) -> None:
        """A pass begins."""
        self._started = time.perf_counter()
        self.queue_s += self._started - queued_since

    def stop(self) -> None:
        """A pass and the work on its logits are over."""
        self._compute_s, self._started = self.compute_s, None


@dataclass(frozen=True)
class Feed:
    """What to feed, and how many of the last positions' logits are wanted (0: none)."""

    tokens: list[int]
    rows: int


class Step(ABC):
    """What a session asks for.  All methods run on the worker thread."""

    supersedable = False
    """Whether a newer step of the session ends this one at the next token."""

    def __init__(self) -> None:
        self.timing = Timing()

    @abstractmethod
    def begin(self, session: "Session") -> bool:
        """Brings the session's tokens to what the step names.  False: there is nothing to run."""

    def forks(self) -> Sequence[tuple[int, "Step"]]:
        """Steps to carry out beside this one that has begun, each on a fork of the session.

        Returns:
            Of each fork: how many tokens it has in common with the session, and the step.
        """
        return ()

    @abstractmethod
    def feed(self, session: "Session") -> Feed:
        """What the model has to see next."""

    @property
    @abstractmethod
    def group(self) -> Hashable:
        """Steps of the same kind, group and number of rows decide in one call."""

    @classmethod
    @abstractmethod
    def decide(cls, steps: Sequence[Self], logits: Tensor) -> Tensor:
        """What becomes of each step's logits, on the device where they are.

        Args:
            steps: S of one group.
            logits: [S, rows, V].

        Returns:
            float64 [S, any number]: what ``take`` needs.
        """

    @abstractmethod
    def take(self, session: "Session", decided: list[float]) -> bool:
        """Takes what was decided; nothing where no logits were wanted.  True: the step is done."""

    def give_up(self) -> None:
        """The cache has no room for the fork that the step is to run on: it is over."""
        raise AssertionError("only what another step gives in forks() runs on a fork")

    @abstractmethod
    def fail(self, error: CascadeError) -> None:
        """The step can't be carried out."""
