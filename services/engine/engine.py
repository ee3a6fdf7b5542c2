"""Runs the steps of many sessions on one model, on one worker thread.

A *session* is the tokens of one answer and the slot of the cache that holds them.  A *step* is what
a session asks for: some passes of the model and what to do with their logits.  The worker's loop is
three calls: schedule (the next session with a step, in turn), run (one pass), postprocess (the
step's own).  A pass serves one session.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog
from torch import Tensor

from services.engine.model import Model
from services.errors import CascadeError, EngineFailed
from services.tokens import TokenSequence

log = structlog.get_logger()


@dataclass
class Timing:
    """Where the time of a step went so far."""

    queue_s: float = 0.0
    """Waiting for the worker."""
    passes: int = 0
    tokens: int = 0
    """Tokens fed to the model."""
    _compute_s: float = 0.0
    _started: float | None = None

    @property
    def compute_s(self) -> float:
        """In passes and in the work on their logits, the running pass included."""
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
    """One pass: what to feed, and how many of the last positions' logits are wanted (0: none)."""

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

    @abstractmethod
    def feed(self, session: "Session") -> Feed:
        """The next pass."""

    @abstractmethod
    def take(self, session: "Session", logits: Tensor) -> bool:
        """Takes the pass's logits [rows, V].  True: the step is done."""

    @abstractmethod
    def fail(self, error: CascadeError) -> None:
        """The step can't be carried out."""


class Session:
    """The tokens of one answer and the cache slot that holds them.  Owned by the worker thread."""

    def __init__(self, model: Model) -> None:
        self.tokens = TokenSequence()
        self.slot = model.new_slot()
        self._steps: deque[_Queued] = deque()
        self._drained: list[Future[None]] = []
        self._closed: Future[None] | None = None

    def rebase(self, position: int, append: list[int]) -> None:
        """Truncates to ``position`` tokens and appends."""
        self.tokens.truncate(position)
        self.slot.truncate(position)
        self.tokens.extend(append)

    def unseen(self) -> list[int]:
        """The tokens that the model has to see before the next token's logits: at least one."""
        self.slot.truncate(len(self.tokens) - 1)
        return self.tokens.since(self.slot.length)


@dataclass
class _Queued:
    step: Step
    since: float = field(default_factory=time.perf_counter)
    begun: bool = False
    superseded: bool = False


class Engine:
    """One model and the worker thread that runs it.  All methods are thread-safe."""

    def __init__(self, load: Callable[[], Model]) -> None:
        """Loads the model on the worker thread, and waits for it.

        The worker is the only thread that computes.  OpenMP keeps a pool for each thread that does;
        once the pools together have more threads than there are cores, theirs no longer spin
        between two loops but sleep, and a pass on the CPU takes about a third longer.

        Args:
            load: gives the model; what it raises is raised here.
        """
        self._turn: deque[Session] = deque()
        self._running: Session | None = None
        self._changed = threading.Condition()
        self._stopping = False
        loaded: Future[Model] = Future()
        self._worker = threading.Thread(
            target=self._load_and_work, args=(load, loaded), name="engine", daemon=True
        )
        self._worker.start()
        self.model = loaded.result()

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._worker.is_alive()

    def open(self) -> Session:
        """A new session, without tokens."""
        return Session(self.model)

    def submit(self, session: Session, step: Step) -> None:
        """Queues a step behind the session's others, and supersedes those that can be."""
        with self._changed:
            if session._closed is not None:
                return
            for queued in session._steps:
                queued.superseded |= queued.step.supersedable
            session._steps.append(_Queued(step))
            if session not in self._turn and session is not self._running:
                self._turn.append(session)
            self._changed.notify()

    def drain(self, session: Session) -> "Future[None]":
        """A future that is done once every step submitted so far is done or superseded."""
        with self._changed:
            done: Future[None] = Future()
            session._drained.append(done)
            self._tell_drained(session)
            return done

    def _tell_drained(self, session: Session) -> None:
        if session is self._running or any(not q.superseded for q in session._steps):
            return
        while session._drained:
            session._drained.pop().set_result(None)

    def close(self, session: Session) -> "Future[None]":
        """Drops the session and its steps.  The future is done once no pass uses its slot."""
        with self._changed:
            if session._closed is None:
                session._closed = Future()
                session._steps.clear()
                if session in self._turn:
                    self._turn.remove(session)
                if session is not self._running:
                    session._closed.set_result(None)
            return session._closed

    def stop(self) -> None:
        """Ends the worker after the pass that runs now."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._worker.join()

    def _load_and_work(self, load: Callable[[], Model], loaded: "Future[Model]") -> None:
        try:
            model = load()
        except BaseException as error:  # the caller's to handle, whatever it is
            loaded.set_exception(error)
            return
        loaded.set_result(model)
        self._work()

    def _work(self) -> None:
        while (scheduled := self._schedule()) is not None:
            session, queued = scheduled
            done = True
            try:
                done = self._run(session, queued)
            except CascadeError as error:
                queued.step.fail(error)
            except Exception as error:  # a failed pass costs its own session, and nobody else
                log.exception("step failed", step=type(queued.step).__name__)
                queued.step.fail(EngineFailed(f"forward pass failed: {type(error).__name__}"))
            self._postprocess(session, queued, done)

    def _schedule(self) -> "tuple[Session, _Queued] | None":
        """The next session in turn and its step; waits for one; None: stop."""
        with self._changed:
            while True:
                if self._stopping:
                    return None
                if self._turn:
                    session = self._turn.popleft()
                    while session._steps and session._steps[0].superseded:
                        session._steps.popleft()
                    if session._steps:
                        self._running = session
                        return session, session._steps[0]
                else:
                    self._changed.wait()

    def _run(self, session: Session, queued: _Queued) -> bool:
        """One pass of the step.  True: it is done."""
        step, timing = queued.step, queued.step.timing
        timing.start(queued.since)
        try:
            if not queued.begun:
                queued.begun = True
                if not step.begin(session):
                    return True
            feed = step.feed(session)
            timing.passes += 1
            timing.tokens += len(feed.tokens)
            logits = self.model.forward(session.slot, feed.tokens, max(feed.rows, 1))
            return step.take(session, logits)
        finally:
            timing.stop()

    def _postprocess(self, session: Session, queued: _Queued, done: bool) -> None:
        """Gives the turn on: back to the end of the queue where the session has more to do."""
        with self._changed:
            self._running = None
            if session._closed is not None:
                session._closed.set_result(None)
                return
            if (done or queued.superseded) and session._steps and session._steps[0] is queued:
                session._steps.popleft()
            queued.since = time.perf_counter()
            if session._steps:
                self._turn.append(session)
            self._tell_drained(session)
