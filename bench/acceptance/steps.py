"""A session's steps, carried out as the engine's worker does it, with a clock on each part."""

import sys
from dataclasses import dataclass

from services.engine.model import Model
from services.engine.passes import begin, run
from services.engine.schedule import choose, left
from services.engine.session import Queued, Session
from services.engine.step import Step


@dataclass(frozen=True)
class Timed:
    """Where the time of a step went."""

    pass_s: float
    """In the model's passes."""
    after_s: float
    """In all that was done with their logits."""


def carry_out(model: Model, session: Session, step: Step) -> Timed:
    """Runs a step to its end, on this thread.

    Raises:
        CascadeError: the step failed, if its ``fail`` raises what it is told.
    """
    pass_s = after_s = 0.0
    queued = Queued(step)
    begin(session, queued)
    while not queued.over:
        left(session, queued)
        report = run(model, choose([(session, queued)], [session], sys.maxsize))
        pass_s += report.model_s
        after_s += report.after_s
    return Timed(pass_s, after_s)
