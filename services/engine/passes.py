"""One pass for several sessions: the model, then what becomes of its logits, by one copy to host.

What fails costs the session whose it is: a pass or a decision that fails for several is tried again
for each of them alone.
"""

import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

import structlog
import torch
from torch import Tensor

from services.engine.model import Model
from services.engine.schedule import Piece
from services.engine.session import Queued, Session
from services.errors import CascadeError, EngineFailed

log = structlog.get_logger()


@dataclass(frozen=True)
class PassReport:
    """One pass."""

    sessions: int
    tokens: int
    """Fed."""
    prefill: bool
    """Whether a part of a long feed was among them."""
    model_s: float
    """Running the model; where a device works behind its host, queueing the pass."""
    after_s: float
    """Deciding and taking: all that was done with the logits, the wait for a device included."""


class CostsOnly:
    """An error within ends this step, and nothing else.

    A lost device (torch.AcceleratorError) is of no more use to anybody, and is raised; memory that
    is not there is no such error.
    """

    __slots__ = ("_queued",)

    def __init__(self, queued: Queued) -> None:
        self._queued = queued

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, torch.AcceleratorError):
            return False
        step, self._queued.over = self._queued.step, True
        if not isinstance(error, CascadeError):
            log.error("step failed", step=type(step).__name__, exc_info=error)
            error = EngineFailed(f"forward pass failed: {type(error).__name__}")
        step.fail(error)
        return True


def begin(session: Session, queued: Queued) -> None:
    """Begins a step."""
    timing = queued.step.timing
    timing.start(queued.since)
    queued.begun = True
    queued.over = not queued.step.begin(session)
    timing.stop()
    queued.since = time.perf_counter()


@torch.inference_mode()
def run(model: Model, pieces: Sequence[Piece]) -> PassReport:
    """Runs the pieces, each of another session, and carries out what their steps decide."""
    start = time.perf_counter()
    groups: dict[Hashable, list[Piece]] = defaultdict(list)
    for piece in pieces:
        step = piece.queued.step
        for timing in (step.timing, piece.session.timing):
            timing.start(piece.queued.since)
            timing.passes += 1
            timing.tokens += piece.count
        # What pieces have in common that decide in one call.
        alike = type(step), step.group, piece.rows, piece.last, len(piece.queued.logits)
        groups[alike].append(piece)
    fed = list(_fed(model, list(groups.values())))
    there = time.perf_counter()
    _take(model, [pair for group, logits in fed for pair in _decided(group, logits)])
    for piece in pieces:
        piece.queued.step.timing.stop()
        piece.session.timing.stop()
        piece.queued.since = piece.session.ran = time.perf_counter()
    return PassReport(
        sessions=len(pieces),
        tokens=sum(piece.count for piece in pieces),
        prefill=any(piece.long for piece in pieces),
        model_s=there - start,
        after_s=time.perf_counter() - there,
    )


def _fed(model: Model, groups: Sequence[list[Piece]]) -> Iterator[tuple[list[Piece], Tensor]]:
    """Feeds all pieces: each group, and its logits [S, rows, V], a view of the pass's."""
    pieces = [piece for group in groups for piece in group]
    try:
        logits = model.run([piece.part for piece in pieces])
    except Exception:
        if len(pieces) == 1:
            with CostsOnly(pieces[0].queued):
                raise
            return
        logits = None
    if logits is None:  # not while the error is handled, which holds the memory of what failed
        for piece in pieces:
            yield from _fed(model, [[piece]])
        return
    sizes = [len(group) * group[0].rows for group in groups]
    for group, rows in zip(groups, logits.split(sizes), strict=True):
        yield group, rows.view(len(group), group[0].rows, logits.shape[-1])


def _decided(group: list[Piece], logits: Tensor) -> list[tuple[Piece, Tensor]]:
    """What is decided of a group's logits, float64 [any number] for each piece that is complete."""
    first = group[0]
    if not first.last:
        for piece, rows in zip(group, logits, strict=True):
            with CostsOnly(piece.queued):
                piece.queued.advance(piece.count, rows)
        return []
    steps = [piece.queued.step for piece in group]
    try:
        whole = logits
        if first.queued.logits:
            whole = torch.stack(
                [torch.cat([*p.queued.logits, rows]) for p, rows in zip(group, logits, strict=True)]
            )
        if not whole.shape[1]:
            return [(piece, logits.new_empty(0)) for piece in group]
        return list(zip(group, type(steps[0]).decide(steps, whole), strict=True))
    except Exception:
        if len(group) == 1:
            with CostsOnly(first.queued):
                raise
            return []
    # Not while the error is handled, as above.
    alone = zip(group, logits.split(1), strict=True)
    return [pair for piece, rows in alone for pair in _decided([piece], rows)]


def _take(model: Model, decided: Sequence[tuple[Piece, Tensor]]) -> None:
    """Gives each step what was decided of it."""
    if not decided:
        return
    sizes = [len(value) for _, value in decided]
    # The wait for the device: what comes behind it keeps results from being sent.
    host = iter(model.to_host(torch.cat([value.double() for _, value in decided])))
    for (piece, _), size in zip(decided, sizes, strict=True):
        queued = piece.queued
        queued.finish_feed()
        with CostsOnly(queued):
            queued.over = queued.step.take(piece.session, list(islice(host, size)))
