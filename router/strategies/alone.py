"""One model alone: MODE_DRAFTER and MODE_EXPERT, and the parts of the cascades that are so."""

from collections.abc import AsyncIterator

from cascade.v1 import expert_pb2, law_pb2

from router.sessions import DrafterSession, DraftOrder, ExpertSession
from router.strategies.task import Emitted, Task
from services.errors import EngineFailed
from services.tokens import TokenSequence

_MAX_DRAFT = 1024


async def draft_alone(task: Task) -> AsyncIterator[Emitted]:
    """The drafter's own tokens, streamed as they come.

    A block length cuts the answer into steps of that many tokens; it changes no token.
    """
    tokens = task.request.tokens()
    async for drafted in draft_from(task, await task.open_drafter(), tokens):
        emitted = [drafters_word(t) for t in drafted]
        task.recorder.emitted(emitted)
        yield emitted


async def decode_alone(task: Task) -> AsyncIterator[Emitted]:
    """The expert's own tokens, streamed as they come.

    A block length cuts the answer into steps of that many tokens; it changes no token.
    """
    tokens = task.request.tokens()
    async for emitted in decode_from(task, await task.open_expert(), tokens, seen=0):
        yield emitted


async def draft_from(
    task: Task, drafter: DrafterSession, tokens: TokenSequence
) -> AsyncIterator[list[law_pb2.DraftedToken]]:
    """Drafts to the answer's end, token by token; ``tokens`` grow by what it gives."""
    request = task.request
    end = len(request.prompt) + request.max_tokens
    seen = 0
    while len(tokens) < end:
        count = min(request.block_length or _MAX_DRAFT, _MAX_DRAFT, end - len(tokens))
        task.recorder.round()
        order = DraftOrder(seen, tokens.since(seen), count, piece_length=1)
        async for piece in drafter.draft(order):
            drafted = list(piece.tokens)
            tokens.extend(t.id for t in drafted)
            task.recorder.drafter_step(piece.timing, last=piece.last)
            yield drafted
        if tokens.ids[-1] in request.final_token_ids:
            return
        seen = len(tokens)


async def decode_from(
    task: Task, expert: ExpertSession, tokens: TokenSequence, seen: int
) -> AsyncIterator[Emitted]:
    """Decodes to the answer's end; ``tokens`` grow by what it gives.

    Args:
        task: the answer to make.
        expert: the session.
        tokens: prompt and answer so far.
        seen: how many of them the expert has.
    """
    request = task.request
    end = len(request.prompt) + request.max_tokens
    while len(tokens) < end:
        count = min(request.block_length or request.max_tokens, end - len(tokens))
        task.recorder.round()
        async for piece in expert.decode(seen, tokens.since(seen), tokens.hash(), count):
            if piece.stale:
                raise EngineFailed("expert: the session's tokens were lost")
            emitted = list(piece.tokens)
            tokens.extend(t.id for t in emitted)
            task.recorder.expert_step(piece.timing, last=piece.last)
            task.recorder.emitted(emitted)
            yield emitted
        if tokens.ids[-1] in request.final_token_ids:
            return
        seen = len(tokens)


def drafters_word(token: law_pb2.DraftedToken) -> expert_pb2.EmittedToken:
    """A drafted token that nobody checks."""
    emitted = expert_pb2.EmittedToken(id=token.id, origin=expert_pb2.ORIGIN_DRAFTER)
    if token.HasField("scaled_log_prob"):
        emitted.log_probs.drafter = token.scaled_log_prob
        emitted.log_probs.target = token.scaled_log_prob
    return emitted
