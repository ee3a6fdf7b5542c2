"""How busy a model is: what a step's passes held of all sessions, and who takes part in passes."""

from collections import deque
from collections.abc import Sequence

from services.engine.schedule import Piece
from services.engine.session import Session

PASSES = 8
"""The last ones, by which a session counts as taking part: it may be with another model between."""


class Activity:
    """Of one model."""

    def __init__(self) -> None:
        self._last: deque[set[Session]] = deque(maxlen=PASSES)

    def passing(self, pieces: Sequence[Piece]) -> None:
        """These make the next pass: the timing of each one's step is told what it is like."""
        self._last.append({piece.session.parent or piece.session for piece in pieces})
        taking_part = {session for sessions in self._last for session in sessions}
        sessions = sum(session.closed is None for session in taking_part)
        rows = sum(piece.rows for piece in pieces)
        for piece in pieces:
            timing = piece.queued.step.timing
            timing.rows += rows
            timing.sessions = sessions
