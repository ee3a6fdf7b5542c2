"""Contexts and drafted blocks as the drafter's pod makes them."""

from collections.abc import Sequence

from cascade.v1 import drafter_pb2, law_pb2

from bench.acceptance.cases import Case
from bench.acceptance.steps import carry_out
from bench.prompts import Prompt
from services.drafter.draft import DraftStep
from services.engine.model import Model
from services.engine.session import Session
from services.errors import CascadeError
from services.pod.law import SessionLaw

LEAST_ANSWER = 32
"""Tokens of the answer at the end of a context."""

Block = list[law_pb2.DraftedToken]


def contexts(model: Model, prompts: Sequence[Prompt], case: Case, length: int) -> list[list[int]]:
    """For each prompt the end of it and of the answer begun: ``length`` tokens.

    Args:
        model: the drafter, which begins the answers.
        prompts: any number.
        case: what the answers follow.
        length: tokens.
    """
    found = []
    for i, prompt in enumerate(prompts):
        # Where a block is drafted in real life: in the midst of an answer.
        count = max(LEAST_ANSWER, length - len(prompt.token_ids))
        answer = _draft(model, Session(model), case.law(i), 0, prompt.token_ids, count)
        found.append([*prompt.token_ids, *(token.id for token in answer)][-length:])
    return found


def blocks(
    model: Model, contexts: Sequence[Sequence[int]], cases: Sequence[Case], length: int
) -> dict[Case, list[Block]]:
    """Of each law, after each context, a block of ``length`` tokens.

    The first tokens of a block are the shorter block, as a token does not depend on the length.
    The seed of a law is the context's index.
    """
    drafted: dict[Case, list[Block]] = {case: [] for case in cases}
    for i, context in enumerate(contexts):
        session = Session(model)
        _draft(model, session, cases[0].law(i), 0, context, 0)  # fills the cache
        for case in cases:
            drafted[case].append(_draft(model, session, case.law(i), len(context), [], length))
    return drafted


def _draft(
    model: Model,
    session: Session,
    law: law_pb2.Law,
    position: int,
    append: Sequence[int],
    count: int,
) -> Block:
    pieces: list[drafter_pb2.DraftedBlock | CascadeError] = []
    request = drafter_pb2.DraftStep(position=position, append=append, max_tokens=count)
    # Without end tokens every block has its length.
    step = DraftStep(request, model.facts, SessionLaw.from_proto(law), frozenset(), pieces.append)
    carry_out(model, session, step)
    (piece,) = pieces
    assert isinstance(piece, drafter_pb2.DraftedBlock), "a step that fails raises"
    return list(piece.tokens)
