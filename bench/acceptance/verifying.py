"""Verify steps on the expert, as its pod carries them out."""

from collections.abc import Sequence

import torch
from cascade.v1 import expert_pb2

from bench.acceptance.cases import Case
from bench.acceptance.drafting import Block
from bench.acceptance.steps import Timed, carry_out
from services.engine.model import Model
from services.engine.session import Session
from services.errors import CascadeError
from services.expert.verify import VerifyStep
from services.pod.law import SessionLaw
from services.tokens import TokenSequence


class Expert:
    """The expert with a session after each context, whose cache holds it."""

    def __init__(self, model: Model, contexts: Sequence[Sequence[int]], filler: Case) -> None:
        """``filler``: any law, to open the sessions with."""
        self.model = model
        self.sessions = [Session(model) for _ in contexts]
        self._laws: dict[tuple[Case, int], SessionLaw] = {}
        for i, (session, context) in enumerate(zip(self.sessions, contexts, strict=True)):
            whole = expert_pb2.VerifyStep(append=context, prefix_hash=_hash(context))
            carry_out(model, session, self._step(whole, filler, i))
        self.lengths = [len(context) for context in contexts]
        """Tokens of each context."""

    def law(self, case: Case, i: int) -> SessionLaw:
        """A law in the session after context ``i``; its seed is the context's index."""
        if (case, i) not in self._laws:
            self._laws[case, i] = SessionLaw.from_proto(case.law(i))
        return self._laws[case, i]

    def verify(self, case: Case, i: int, block: Block) -> Timed:
        """Verifies a block after context ``i``."""
        return carry_out(self.model, self.sessions[i], self.step(case, i, block))

    def step(self, case: Case, i: int, block: Block) -> VerifyStep:
        """The step for a block after context ``i``, to be carried out."""
        request = expert_pb2.VerifyStep(
            position=self.lengths[i],
            prefix_hash=self.sessions[i].tokens.hash(self.lengths[i]),
            block=block,
        )
        return self._step(request, case, i)

    def logits(self, case: Case, i: int, block: Block) -> torch.Tensor:
        """The pass of a block after context ``i``: [rows, V]."""
        session, step = self.sessions[i], self.step(case, i, block)
        step.begin(session)
        feed = step.feed(session)
        return self.model.forward(session.slot, feed.tokens, feed.rows)

    def _step(self, request: expert_pb2.VerifyStep, case: Case, i: int) -> VerifyStep:
        return VerifyStep(request, self.model.facts, self.law(case, i), frozenset(), _answer)


def _answer(item: expert_pb2.Verdict | CascadeError) -> None:
    """What the servicer does with a verdict on the worker's thread."""
    if isinstance(item, CascadeError):
        raise item
    assert not item.stale, "the sessions' tokens are known"
    expert_pb2.VerifyResponse(verdict=item)


def _hash(tokens: Sequence[int]) -> int:
    return TokenSequence(tokens).hash()
