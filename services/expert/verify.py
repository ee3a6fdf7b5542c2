"""Verifying a block: one pass for all of its tokens."""

from collections.abc import Callable, Sequence

import torch
from cascade.v1 import expert_pb2 as pb
from cascade.v1 import law_pb2
from torch import Tensor

from services.engine.engine import Feed, Session, Step
from services.engine.model import ModelFacts
from services.errors import CascadeError, InvalidField
from services.expert.base import rebase_or_stale
from services.pod.law import SessionLaw
from services.pod.stream import check_length, check_tokens
from services.pod.timing import to_proto
from services.rules.acceptance import verify
from services.rules.distribution import MAX_DROP, Candidates

MAX_BLOCK = 256


class VerifyStep(Step):
    """Truncate, append, score the block in one pass, accept or reject."""

    def __init__(
        self,
        request: pb.VerifyStep,
        facts: ModelFacts,
        law: SessionLaw,
        end_token_ids: frozenset[int],
        emit: Callable[[pb.Verdict | CascadeError], None],
    ) -> None:
        """Checks the request.

        Raises:
            InvalidField: a value that can't be, or a block without what its rule needs.
        """
        super().__init__()
        check_tokens("append", list(request.append), facts.vocabulary_size)
        check_block(request.block, law, facts.vocabulary_size)
        self._request = request
        self._block = [token.id for token in request.block]
        self._base = request.position + len(request.append)
        self._context_length = facts.context_length
        self._law = law
        # A bonus needs room for one token more.
        self._bonus = law.bonus and self._base + len(self._block) < facts.context_length
        self._end_token_ids = end_token_ids
        self._emit = emit
        self._verdict = pb.Verdict(step_id=request.step_id, position=self._base)

    def begin(self, session: Session) -> bool:
        """Truncates and appends, unless the block is stale."""
        request = self._request
        check_length("block", self._base + len(self._block), self._context_length)
        if not rebase_or_stale(
            session, request.position, list(request.append), request.prefix_hash
        ):
            self._verdict.stale = True
            self._send()
            return False
        if not self._block and session.slot.length == self._base:
            self._send()
            return False
        return True

    def feed(self, session: Session) -> Feed:
        """What the model has not seen, and the block; its last token only if a bonus may follow."""
        if not self._block:
            return Feed(session.unseen(), rows=0)
        n = len(self._block)
        fed = self._block if self._bonus else self._block[:-1]
        return Feed(session.unseen() + fed, rows=n + self._bonus)

    def take(self, session: Session, logits: Tensor) -> bool:
        """Accepts or rejects, by one copy from the device."""
        if self._block:
            self._decide(session, logits)
        self._send()
        return True

    def fail(self, error: CascadeError) -> None:
        """Ends the session."""
        self._emit(error)

    def _decide(self, session: Session, logits: Tensor) -> None:
        device, law, n = logits.device, self._law, len(self._block)
        verdicts = verify(
            law.target,
            law.alpha,
            logits.unsqueeze(0),
            torch.tensor([self._block], device=device),
            _candidates(self._request.block, device),
            law.sampling,
            law.seeds,
            torch.tensor([self._base], device=device),
            bonus=self._bonus,
        )
        host = torch.cat(
            [
                verdicts.accepted.double(),
                verdicts.token.double(),
                verdicts.trusted[0].double(),
                verdicts.distance[0].double(),
            ]
        ).tolist()
        accepted, token = int(host[0]), int(host[1])
        trusted, distance = host[2 : 2 + n], host[2 + n :]
        emitted = self._verdict.tokens
        for j in range(accepted):
            emitted.add(
                id=self._block[j],
                origin=pb.ORIGIN_TRUSTED if trusted[j] else pb.ORIGIN_ACCEPTED,
                distance=distance[j],
            )
            if self._block[j] in self._end_token_ids:
                accepted = j + 1
                token = -1
                break
        if token >= 0 and accepted < n:
            emitted.add(id=token, origin=pb.ORIGIN_RESAMPLED, distance=distance[accepted])
        elif token >= 0:
            emitted.add(id=token, origin=pb.ORIGIN_BONUS)
        self._verdict.accepted = accepted
        session.tokens.extend(t.id for t in emitted)
        session.slot.truncate(self._base + accepted)

    def _send(self) -> None:
        self._verdict.timing.CopyFrom(to_proto(self.timing))
        self._emit(self._verdict)


def check_block(
    block: Sequence[law_pb2.DraftedToken], law: SessionLaw, vocabulary_size: int
) -> None:
    """Refuses a block that can't have been drafted under the law.

    Raises:
        InvalidField: naming the token and what is wrong with it.
    """
    if len(block) > MAX_BLOCK:
        raise InvalidField(("block", f"must have at most {MAX_BLOCK} tokens, got {len(block)}"))
    check_tokens("block", [token.id for token in block], vocabulary_size)
    for j, token in enumerate(block):
        field, q = f"block[{j}].candidates", token.candidates
        if not law.sends_candidates:
            if q.ids:
                raise InvalidField((field, "must be unset: the rule needs none at temperature 0"))
            continue
        check_tokens(f"{field}.ids", list(q.ids), vocabulary_size)
        if not 1 <= len(q.ids) <= law.candidates or len(q.drops) != len(q.ids):
            raise InvalidField(
                (
                    field,
                    f"must have 1 to {law.candidates} ids and as many drops, "
                    f"got {len(q.ids)} and {len(q.drops)}",
                )
            )
        if len(set(q.ids)) != len(q.ids):
            raise InvalidField((field, "ids must differ from each other"))
        if token.id not in q.ids:
            raise InvalidField((field, f"must hold the drafted token {token.id}"))
        if max(q.drops) > MAX_DROP:
            raise InvalidField((field, f"drops must be at most {MAX_DROP}, got {max(q.drops)}"))


def _candidates(block: Sequence[law_pb2.DraftedToken], device: torch.device) -> Candidates:
    """``q`` of a checked block, [1, n, K].  Without pairs it is the drafted token itself."""
    ids = [list(token.candidates.ids) or [token.id] for token in block]
    drops = [list(token.candidates.drops) or [0] for token in block]
    width = max(map(len, ids))
    return Candidates(
        torch.tensor([[row + [0] * (width - len(row)) for row in ids]], device=device),
        torch.tensor([[row + [-1] * (width - len(row)) for row in drops]], device=device),
    )
