"""What becomes of one session: measured, and logged in one line when it ends."""

import asyncio
import time

import structlog

from services.engine.step import Timing
from services.errors import CascadeError
from services.pod.metrics import PodMetrics

log = structlog.get_logger()


class SessionRecord:
    """Times and counts of one session."""

    def __init__(self, metrics: PodMetrics, waited_s: float) -> None:
        self._metrics = metrics
        self._waited_s = waited_s
        self._opened = time.perf_counter()
        self._asked: float | None = None
        self._first: float | None = None
        self._steps = 0
        self._tokens = 0
        metrics.queue_seconds.observe(waited_s)

    def step(self) -> None:
        """A step was asked for."""
        self._steps += 1
        self._asked = self._asked or time.perf_counter()

    def tokens(self, count: int) -> None:
        """Tokens were answered."""
        if count and self._first is None and self._asked is not None:
            self._first = time.perf_counter()
            self._metrics.first_token_seconds.observe(self._first - self._asked)
        self._tokens += count

    def end(self, error: BaseException | None, timing: Timing) -> None:
        """The session is over.

        Args:
            error: what ended it, if not its caller's last message.
            timing: of all its steps.
        """
        now = time.perf_counter()
        if self._first is not None and self._tokens > 1:
            self._metrics.token_seconds.observe((now - self._first) / (self._tokens - 1))
        log.info(
            "session",
            outcome=_outcome(error),
            waited_s=round(self._waited_s, 6),
            duration_s=round(now - self._opened, 6),
            first_token_s=self._first and self._asked and round(self._first - self._asked, 6),
            steps=self._steps,
            tokens=self._tokens,
            passes=timing.passes,
            tokens_fed=timing.tokens,
            tokens_found=timing.found,
            queue_s=round(timing.queue_s, 6),
            compute_s=round(timing.compute_s, 6),
        )


def _outcome(error: BaseException | None) -> str:
    # A router that has its answer just leaves: the stream can't tell that from giving up.
    if error is None or isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "closed"
    if isinstance(error, CascadeError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__
