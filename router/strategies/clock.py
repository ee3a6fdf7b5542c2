"""What the rounds of a session take: measured here, learnt from in its pace."""

import time

from cascade.v1 import law_pb2

from router.pace import Draft, Pace, Pass

_LONG_FEED = 8
"""Tokens fed beside a block: a step that is fed more is no measure of the next ones."""


class Clock:
    """One session's.  Times are as the router sees them, in milliseconds."""

    def __init__(self, pace: Pace) -> None:
        """``pace``: is told what was measured."""
        self._pace = pace
        self._draft_began = 0.0
        self._draft_waits = False
        """Whether the expert's slot is waited for while it goes on."""
        self._drafted: Draft | None = None
        """What the last draft took, until it is known with how many sessions."""
        self._round_began = 0.0
        """When the last one ended, or the first draft began.  0: neither, yet."""
        self._fed_long = False
        """Whether a prompt, or what the other model made alone, was fed in it: no measure."""

    def draft_begins(self) -> None:
        """A draft is asked for."""
        self._draft_began, self._draft_waits = time.perf_counter(), False
        self._round_began = self._round_began or self._draft_began

    def connected(self) -> None:
        """The expert is there: waiting for its slot was no part of a round, nor of the draft."""
        self._draft_waits = True
        if self._round_began:
            self._round_began = time.perf_counter()

    def goes_alone(self) -> None:
        """The expert goes on alone: the next round begins with its first draft."""
        self._round_began = 0.0

    def drafted(self, timing: law_pb2.StepTiming) -> None:
        """A draft is complete: one pass for each of its tokens."""
        if timing.tokens - timing.passes > _LONG_FEED:
            self._fed_long = True
        elif timing.passes:
            whole_ms = None if self._draft_waits else _ms_since(self._draft_began)
            self._drafted = Draft.of(timing, whole_ms)

    def verified(self, length: int, timing: law_pb2.StepTiming, sent: float | None) -> None:
        """A block was verified.

        Args:
            length: its tokens.
            timing: of the verification.
            sent: when it was sent, on ``time.perf_counter``'s clock; None: behind another one.
        """
        if timing.tokens - length > _LONG_FEED:
            self._fed_long = True
            return
        trip_ms = None if sent is None else max(_ms_since(sent) - timing.compute_ms, 0.0)
        self._pace.history.verified(length, Pass.mean(timing), trip_ms, self._drafted)
        self._drafted = None

    def round_ended(self, tokens: int) -> None:
        """A round has made so many tokens."""
        now = time.perf_counter()
        self._pace.emitted(tokens, None if self._fed_long else 1000 * (now - self._round_began))
        self._round_began, self._fed_long = now, False


def pass_alone(timing: law_pb2.StepTiming, before: law_pb2.StepTiming) -> Pass | None:
    """The mean of the expert's passes alone since ``before``, if there were any to learn from.

    A step that was fed a prompt, or all that the drafter made, is none; nor is one of a session
    that counts anew, on another pod.
    """
    if timing.passes > before.passes and 0 < timing.tokens - before.tokens <= _LONG_FEED:
        return Pass.mean(timing, before)
    return None


def _ms_since(began: float) -> float:
    """Milliseconds; ``began``: on ``time.perf_counter``'s clock."""
    return 1000 * (time.perf_counter() - began)
