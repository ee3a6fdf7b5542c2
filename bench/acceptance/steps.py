"""A session's steps, carried out as the engine's worker does it, with a clock on each part."""

import time
from dataclasses import dataclass

from services.engine.engine import Session, Step
from services.engine.model import Model


@dataclass(frozen=True)
class Timed:
    """Where the time of a step went."""

    pass_s: float
    """In the model's passes."""
    after_s: float
    """In all that was done with their logits."""


def carry_out(model: Model, session: Session, step: Step) -> Timed:
    """Runs a step to its end, on this thread."""
    pass_s = after_s = 0.0
    done = not step.begin(session)
    while not done:
        feed = step.feed(session)
        start = time.perf_counter()
        logits = model.forward(session.slot, feed.tokens, max(feed.rows, 1))
        there = time.perf_counter()
        done = step.take(session, logits)
        pass_s += there - start
        after_s += time.perf_counter() - there
    return Timed(pass_s, after_s)
