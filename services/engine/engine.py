"""Runs the steps of many sessions on one model, on one worker thread.

The worker's loop is three calls: schedule (who takes part in the next pass), run (one pass for all
of them, and what becomes of its logits), postprocess (give the turn on).  Sessions join and leave
between passes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from services.engine.activity import Activity
from services.engine.gather import Gather
from services.engine.model import Model
from services.engine.passes import CostsOnly, PassReport, begin, run
from services.engine.schedule import CHUNK, IDLE_S, Piece, choose, left
from services.engine.session import Queued, Session
from services.engine.step import Step
from services.errors import PeerLost

log = structlog.get_logger()

_LAST_WORDS_S = 1.0

_HANDING_ON_S = 0.0002
"""In which an event loop that sleeps is awake, and has sent what a pass led to."""

_ENDED = "the engine has ended"
"""Another pod may have one that has not."""


class Engine:
    """One model and the worker thread that runs it.  All methods are thread-safe."""

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        chunk: int = CHUNK,
        gather: float = 0.0,
        report: Callable[[PassReport], None] = lambda report: None,
    ) -> None:
        """Loads the model on the worker thread, and waits for it.

        The worker is the only thread that computes.  OpenMP keeps a pool for each thread that does;
        once the pools together have more threads than there are cores, theirs no longer spin
        between two loops but sleep, and a pass on the CPU takes about a third longer.

        Args:
            load: gives the model; what it raises is raised here.
            chunk: tokens of long feeds in one pass.
            gather: the longest wait for sessions to share a pass, as a share of the last pass's.
            report: told of every pass, on the worker thread.
        """
        self._chunk = chunk
        self._report = report
        self._gather = Gather(gather)
        self._activity = Activity()
        self._sessions: dict[Session, None] = {}
        self._turn: deque[Session] = deque()
        self._running: set[Session] = set()
        self._leaving: list[Session] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._ended = False
        self._turn_began: float | None = None
        loaded: Future[Model] = Future()
        self._worker = threading.Thread(
            target=self._load_and_work, args=(load, loaded), name="engine", daemon=True
        )
        self._worker.start()
        self.model = loaded.result()

    @property
    def alive(self) -> bool:
        """Whether the worker runs, and nobody gave up on it."""
        return self._worker.is_alive() and not self._ended

    @property
    def turn_s(self) -> float:
        """How long the worker has been at its turn, a pass and what belongs to it; 0: it waits."""
        began = self._turn_began
        return 0.0 if began is None else time.perf_counter() - began

    def open(self) -> Session:
        """A new session, without tokens."""
        session = Session(self.model)
        with self._changed:
            self._sessions[session] = None
        return session

    def submit(self, session: Session, step: Step) -> None:
        """Queues a step behind the session's others, and supersedes those that can be."""
        with self._changed:
            if session.closed is not None:
                return
            if self._ended:
                step.fail(PeerLost(_ENDED))
                return
            for queued in session.all_steps():
                queued.superseded |= queued.step.supersedable
            session.steps.append(Queued(step))
            if session not in self._turn and session not in self._running:
                self._turn.append(session)
            self._changed.notify()

    def drain(self, session: Session) -> "Future[None]":
        """A future that is done once every step submitted so far is done or superseded."""
        with self._changed:
            done: Future[None] = Future()
            session.drained.append(done)
            self._tell_drained(session)
            return done

    def _tell_drained(self, session: Session) -> None:
        session = session.parent or session
        if not self._running.isdisjoint([session, *session.forks]):
            return
        if any(not queued.superseded for queued in session.all_steps()):
            return
        while session.drained:
            _tell(session.drained.pop())

    def close(self, session: Session) -> "Future[None]":
        """Drops the session and its steps.  The future is done once its pages are free."""
        with self._changed:
            if session.closed is None:
                self._close_forks(session)
                session.closed = Future()
                session.steps.clear()
                if session in self._turn:
                    self._turn.remove(session)
                self._leaving.append(session)
                self._changed.notify()
                if self._ended:
                    self._let_go()
            return session.closed

    def _close_forks(self, session: Session) -> None:
        while session.forks:
            self.close(session.forks.pop())

    def stop(self) -> None:
        """Ends the worker after the pass that runs now; waits no more for one that was given up."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
            timeout_s = _LAST_WORDS_S if self._ended else None
        self._worker.join(timeout_s)

    def give_up(self) -> None:
        """Nobody waits for the worker any more: all steps fail, and it ends if it ever goes on.

        For one that hangs, and as its last act.
        """
        with self._changed:
            self._ended = True
            self._let_go()
            self._running.clear()
            for session in self._sessions:
                while session.steps:
                    session.steps.popleft().step.fail(PeerLost(_ENDED))
                self._tell_drained(session)

    def _load_and_work(self, load: Callable[[], Model], loaded: "Future[Model]") -> None:
        try:
            model = load()
        except BaseException as error:  # the caller's to handle, whatever it is
            loaded.set_exception(error)
            return
        loaded.set_result(model)
        try:
            while (turn := self._schedule()) is not None:
                model.begin_turn()
                pieces = self._choose(turn)
                if pieces:
                    self._activity.passing(pieces)
                    report = run(model, pieces)
                    self._stand_aside(turn)
                    for piece in pieces:
                        piece.session.slot.share()
                    self._gather.passed(report.model_s + report.after_s)
                    self._report(report)
                self._postprocess(turn, pieces)
        except BaseException:
            log.exception("the worker failed")
            raise
        finally:
            self.give_up()

    def _schedule(self) -> "list[tuple[Session, Queued]] | None":
        """All sessions that have a step, and it; waits for one; None: stop."""
        with self._changed:
            self._turn_began = None
            while True:
                self._let_go()
                if self._stopping or self._ended:
                    return None
                turn = []
                for session in self._turn:
                    while session.steps and session.steps[0].superseded:
                        session.steps.popleft()
                    if session.steps:
                        turn.append((session, session.steps[0]))
                    self._tell_drained(session)
                wait_s = self._gather.remaining_s(turn) if turn else None
                if wait_s is None or wait_s > 0:
                    self._turn = deque(session for session, _ in turn)
                    self._changed.wait(wait_s)
                    continue
                self._turn.clear()
                self._running.update(session for session, _ in turn)
                self._turn_began = time.perf_counter()
                return turn

    def _stand_aside(self, turn: list[tuple[Session, Queued]]) -> None:
        """Leaves the interpreter to whoever hands the results on, where nothing else is to do."""
        with self._changed:
            new = self._turn or self._leaving or self._stopping
            over = all(queued.over and len(session.steps) <= 1 for session, queued in turn)
            if over and not new:
                self._changed.wait(_HANDING_ON_S)  # less where something comes

    def _let_go(self) -> None:
        """Frees the pages of sessions that are closed."""
        while self._leaving:
            session = self._leaving.pop()
            if not self._ended:  # a pass that hangs may still use them
                session.slot.truncate(0)
            self._sessions.pop(session, None)
            assert session.closed is not None, "closing made it"
            _tell(session.closed)

    def _choose(self, turn: list[tuple[Session, Queued]]) -> list[Piece]:
        """Begins new steps, and chooses who takes part in the pass."""
        ready = []
        for session, queued in turn:
            with CostsOnly(queued):
                if not queued.begun:
                    turn.extend(self._begin(session, queued))
                if not queued.over:
                    left(session, queued)
                    ready.append((session, queued))
        with self._changed:
            sessions = list(self._sessions)
        return choose([one for one in ready if one[0].closed is None], sessions, self._chunk)

    def _begin(self, session: Session, queued: Queued) -> list[tuple[Session, Queued]]:
        """Begins a step in place of the forks of the one before; gives its own forks' steps."""
        begin(session, queued)
        with self._changed:
            self._close_forks(session)
            if session.closed is not None or queued.superseded:
                return []
            forks = [
                (Session(self.model, session, n), Queued(step)) for n, step in queued.step.forks()
            ]
            for fork, first in forks:
                fork.steps.append(first)
                session.forks.append(fork)
                self._sessions[fork] = None
                self._running.add(fork)
        return forks

    def _postprocess(self, turn: list[tuple[Session, Queued]], pieces: list[Piece]) -> None:
        """Gives the turn on: who took part goes to the end of the queue, who waited stays ahead."""
        took_part = {piece.session for piece in pieces}
        waiting: list[Session] = []
        served: list[Session] = []
        with self._changed:
            if self._ended:
                return
            self._running.clear()
            for session, queued in turn:
                if session.closed is not None:
                    continue
                if session in took_part:
                    self._sessions[session] = self._sessions.pop(session)
                if queued.over or queued.superseded:
                    session.steps.popleft()
                if session.steps:
                    (served if session in took_part else waiting).append(session)
                self._tell_drained(session)
            new = self._turn or self._leaving or self._stopping
            going_on = pieces or any(queued.over or queued.superseded for _, queued in turn)
            self._turn = deque([*waiting, *self._turn, *served])
            if waiting and not going_on and not new:
                self._changed.wait(IDLE_S / 8)  # for room: others may rest for long enough by then


def _tell(done: "Future[None]") -> None:
    """Whoever waited may have given up."""
    if done.set_running_or_notify_cancel():
        done.set_result(None)
