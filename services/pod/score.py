"""Scoring a given text: what is needed to evaluate rules on it, from either model."""

from collections.abc import Callable, Hashable, Sequence
from typing import Self

import torch
from cascade.v1 import law_pb2 as pb
from torch import Tensor

from services.engine.facts import ModelFacts
from services.engine.session import Session
from services.engine.step import Feed, Step
from services.errors import CascadeError, InvalidField
from services.pod.stream import check_length, check_position, check_tokens
from services.pod.timing import to_proto
from services.rules.distribution import Sampling, Scaled
from services.rules.unscaled import OfLogits

MAX_CONTINUATION = 256
MAX_CANDIDATES = 1024
PIECE = 64
"""Tokens that are scored at a time: the logits of more would take memory that nobody counted."""


class ScoreStep(Step):
    """Scores each token of a continuation given all before it."""

    def __init__(
        self,
        request: pb.ScoreStep,
        facts: ModelFacts,
        sampling: Sampling,
        emit: Callable[[pb.ScoredText | CascadeError], None],
    ) -> None:
        """Checks the request.

        Raises:
            InvalidField: a value that can't be.
        """
        super().__init__()
        self._request = request
        self._sampling = sampling
        self._context_length = facts.context_length
        self._emit = emit
        self._scored = pb.ScoredText(step_id=request.step_id)
        count = len(request.continuation)
        if not 1 <= count <= MAX_CONTINUATION:
            raise InvalidField(
                ("continuation", f"must have 1 to {MAX_CONTINUATION} tokens, got {count}")
            )
        if request.candidates > MAX_CANDIDATES:
            raise InvalidField(
                ("candidates", f"must be at most {MAX_CANDIDATES}, got {request.candidates}")
            )
        if request.also and len(request.also) != count:
            raise InvalidField(
                ("also", f"must have none or {count} entries, got {len(request.also)}")
            )
        if (most := max((len(entry.ids) for entry in request.also), default=0)) > MAX_CANDIDATES:
            raise InvalidField(("also", f"must have at most {MAX_CANDIDATES} ids each, got {most}"))
        for field, ids in (
            ("append", request.append),
            ("continuation", request.continuation),
            *(("also", entry.ids) for entry in request.also),
        ):
            check_tokens(field, list(ids), facts.vocabulary_size)

    def begin(self, session: Session) -> bool:
        """Truncates, appends."""
        request = self._request
        check_position(session, request.position, list(request.append))
        length = request.position + len(request.append) + len(request.continuation)
        check_length("continuation", length, self._context_length)
        session.rebase(request.position, list(request.append))
        return True

    def feed(self, session: Session) -> Feed:
        """The context that the model has not seen, and all but the last token to score next."""
        piece = list(self._request.continuation[self._piece])
        return Feed(session.unseen() + piece[:-1], rows=len(piece))

    @property
    def _piece(self) -> slice:
        """What is scored next."""
        start = len(self._scored.positions)
        return slice(start, start + PIECE)

    @property
    def group(self) -> Hashable:
        """Each for itself: what is asked for differs."""
        return id(self)

    @classmethod
    def decide(cls, steps: Sequence[Self], logits: Tensor) -> Tensor:
        """The columns of each row, as ``take`` reads them."""
        return torch.stack([s._columns(rows) for s, rows in zip(steps, logits, strict=True)])

    @property
    def _width(self) -> int:
        """Tokens asked for at the position that asks for the most."""
        return max((len(entry.ids) for entry in self._request.also), default=0)

    def _columns(self, logits: Tensor) -> Tensor:
        """Of logits [rows, V]: float64 [rows * columns]."""
        request, piece, width = self._request, self._piece, self._width
        x = torch.tensor(list(request.continuation[piece]), device=logits.device).unsqueeze(-1)
        # The most likely tokens, then those asked for beside them.
        ids = logits.topk(min(request.candidates, logits.shape[-1])).indices
        if request.also:
            also = [[*entry.ids, *[0] * (width - len(entry.ids))] for entry in request.also[piece]]
            ids = torch.cat([ids, torch.tensor(also, device=ids.device)], -1)
        of_x, listed = OfLogits(logits, x), OfLogits(logits, ids)
        scalars = [of_x.log_at, of_x.log_top, of_x.entropy]
        if self._sampling.temperature:
            unscaled = logits.double() - of_x.normalizer
            scalars.append((unscaled / self._sampling.temperature).logsumexp(-1, keepdim=True))
        scaled = Scaled.of(logits, self._sampling).at(ids).log()
        # Ids are exact in float64.
        return torch.cat([*scalars, ids.double(), listed.log_at, scaled], -1).flatten()

    def take(self, session: Session, decided: list[float]) -> bool:
        """What each token scores."""
        request, scored = self._request, self._scored
        piece = range(len(request.continuation))[self._piece]
        session.tokens.extend(request.continuation[self._piece])
        columns = len(decided) // len(piece)
        scalars = 4 if self._sampling.temperature else 3
        m = (columns - scalars) // 3
        for i, j in enumerate(piece):
            row = decided[i * columns : (i + 1) * columns]
            log_prob, top, entropy, *rest = row
            position = scored.positions.add(log_prob=log_prob, top_log_prob=top, entropy=entropy)
            if self._sampling.temperature:
                position.log_normalizer, *rest = rest
            wanted = m - self._width + len(request.also[j].ids) if request.also else m
            position.ids.extend(int(token) for token in rest[:wanted])
            position.log_probs.extend(rest[m : m + wanted])
            position.scaled_log_probs.extend(rest[2 * m : 2 * m + wanted])
        if piece.stop < len(request.continuation):
            return False
        scored.timing.CopyFrom(to_proto(self.timing))
        self._emit(scored)
        return True

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)
