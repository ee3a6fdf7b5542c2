"""A long prompt that arrives among sessions that decode: what it delays their tokens by."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cascade.v1 import expert_pb2

from bench.engine.overhead import decode_step
from bench.errors import ServiceFailed
from bench.progress import Bar
from services.engine.engine import Engine
from services.engine.model import load
from services.engine.passes import PassReport
from services.errors import CascadeError

SESSIONS, PROMPT, CONTEXT = 8, 4000, 128
BEFORE = 24
"""Tokens of each session before the prompt arrives."""


@dataclass(frozen=True)
class Intrusion:
    """What the prompt did."""

    prompt: int
    """Tokens."""
    interval_s: float
    """Between two tokens of a session before: the median."""
    chunk_s: float
    """The longest pass of such a prompt alone."""
    longest_s: float
    """Between two tokens of any session while the prompt was read."""
    alone_s: float
    """Until the prompt's first token, alone."""
    among_s: float
    """The same, among the sessions."""

    @property
    def limit_s(self) -> float:
        """Twice the normal interval and one chunk."""
        return 2 * self.interval_s + self.chunk_s


class _Stream:
    """A session's tokens as they come."""

    def __init__(self, engine: Engine, prompt: Sequence[int], tokens: int) -> None:
        self.times: list[float] = []
        self._arrived = threading.Condition()
        self._error: CascadeError | None = None
        self._engine, self._session = engine, engine.open()
        self.start = time.perf_counter()
        engine.submit(self._session, decode_step(engine.model, prompt, tokens, self._emit))

    def _emit(self, item: expert_pb2.DecodedTokens | CascadeError) -> None:
        with self._arrived:
            if isinstance(item, CascadeError):
                self._error = item
            self.times.append(time.perf_counter())
            self._arrived.notify_all()

    def wait(self, tokens: int) -> None:
        """Waits until so many tokens are there."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.times) >= tokens or self._error is not None)
        if self._error is not None:
            raise ServiceFailed(str(self._error))

    def close(self) -> None:
        """Ends the session."""
        self._engine.close(self._session).result()


def measure(folder: Path, dtype: str, prompt: int, bar: Bar) -> Intrusion:
    """The prompt alone, then another one of its length among the sessions."""
    bar.say("a long prompt: loading")
    reports: list[PassReport] = []
    engine = Engine(lambda: load(folder, device="cpu", dtype=dtype), report=reports.append)
    try:
        bar.say("a long prompt: alone")
        idle = engine.open()  # as among others, each pass takes one chunk
        alone = _Stream(engine, [(3 * i) % 251 for i in range(prompt)], 1)
        alone.wait(1)
        alone.close()
        engine.close(idle).result()
        chunk_s = max(report.model_s + report.after_s for report in reports)
        bar.say(f"a long prompt: among {SESSIONS}")
        streams = [
            _Stream(engine, [(7 * i + j) % 241 for j in range(CONTEXT)], prompt)
            for i in range(SESSIONS)
        ]
        for stream in streams:
            stream.wait(1 + BEFORE)
        intruder = _Stream(engine, [(5 * i) % 239 for i in range(prompt)], 1)
        intruder.wait(1)
        for stream in streams:
            stream.wait(len(stream.times) + 2)
        for stream in [*streams, intruder]:
            stream.close()
    finally:
        engine.stop()
    begin, end = intruder.start, intruder.times[0]
    steps = [
        (b, b - a)
        for stream in streams
        for a, b in zip(stream.times, stream.times[1:], strict=False)
    ]
    started = max(stream.times[0] for stream in streams)
    bar.advance()
    return Intrusion(
        prompt=prompt,
        interval_s=median(gap for at, gap in steps if started < at - gap and at < begin),
        chunk_s=chunk_s,
        longest_s=max(gap for at, gap in steps if begin < at and at - gap < end),
        alone_s=alone.times[0] - alone.start,
        among_s=end - begin,
    )
