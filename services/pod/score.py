"""Scoring a given text: what is needed to evaluate rules on it, from either model."""

from collections.abc import Callable

import torch
from cascade.v1 import law_pb2 as pb
from torch import Tensor

from services.engine.engine import Feed, Session, Step
from services.engine.model import ModelFacts
from services.errors import CascadeError, InvalidField
from services.pod.stream import check_length, check_position, check_tokens
from services.pod.timing import to_proto
from services.rules.sampling import confidence

MAX_CONTINUATION = 256
MAX_CANDIDATES = 1024


class ScoreStep(Step):
    """One pass over a continuation; each of its tokens is scored given all before it."""

    def __init__(
        self,
        request: pb.ScoreStep,
        facts: ModelFacts,
        temperature: float,
        emit: Callable[[pb.ScoredText | CascadeError], None],
    ) -> None:
        """Checks the request.

        Raises:
            InvalidField: a value that can't be.
        """
        super().__init__()
        self._request = request
        self._temperature = temperature
        self._context_length = facts.context_length
        self._emit = emit
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
        """The context that the model has not seen, and all but the last token to score."""
        continuation = list(self._request.continuation)
        return Feed(session.unseen() + continuation[:-1], rows=len(continuation))

    def take(self, session: Session, logits: Tensor) -> bool:
        """Scores each row."""
        continuation = list(self._request.continuation)
        session.tokens.extend(continuation)
        ids = torch.tensor(continuation, device=logits.device)
        measures = confidence(logits, ids)
        log_probs = logits.log_softmax(-1)
        top = log_probs.topk(min(self._request.candidates, logits.shape[-1]))
        scored = pb.ScoredText(step_id=self._request.step_id)
        normalizers = (
            (log_probs / self._temperature).logsumexp(-1).tolist() if self._temperature else None
        )
        for row in range(len(continuation)):
            position = scored.positions.add(
                log_prob=float(measures.log_prob[row]),
                top_log_prob=float(measures.top_log_prob[row]),
                entropy=float(measures.entropy[row]),
                ids=top.indices[row].tolist(),
                log_probs=top.values[row].tolist(),
            )
            if normalizers:
                position.log_normalizer = normalizers[row]
            if self._request.also:
                also = list(self._request.also[row].ids)
                position.ids.extend(also)
                position.log_probs.extend(log_probs[row, also].tolist())
        scored.timing.CopyFrom(to_proto(self.timing))
        self._emit(scored)
        return True

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)
