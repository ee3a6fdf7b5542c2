"""One model alone: MODE_DRAFTER and MODE_EXPERT."""

from collections.abc import AsyncIterator

from cascade.v1 import expert_pb2 as pb

from router.strategies.task import Emitted, Task
from services.errors import EngineFailed
from services.tokens import TokenSequence

_MAX_DRAFT = 1024


async def draft_alone(task: Task) -> AsyncIterator[Emitted]:
    """The drafter's own tokens, streamed as they come.

    A block length cuts the answer into steps of that many tokens; it changes no token.
    """
    request, drafter = task.request, task.drafter
    assert drafter is not None, "the registry gives this mode a drafter"
    tokens = list(request.prompt)
    end = len(tokens) + request.max_tokens
    seen = 0
    while len(tokens) < end:
        count = min(request.block_length or _MAX_DRAFT, _MAX_DRAFT, end - len(tokens))
        append = tokens[seen:]
        async for piece in drafter.draft(seen, append, count, piece_length=1):
            emitted = [pb.EmittedToken(id=t.id, origin=pb.ORIGIN_DRAFTER) for t in piece.tokens]
            tokens.extend(t.id for t in emitted)
            if piece.last:
                task.recorder.round()
                task.recorder.drafted_alone(piece.timing)
            task.recorder.emitted(emitted)
            yield emitted
        if tokens[-1] in request.final_token_ids:
            return
        seen = len(tokens)


async def decode_alone(task: Task) -> AsyncIterator[Emitted]:
    """The expert's own tokens, streamed as they come.

    A block length cuts the answer into steps of that many tokens; it changes no token.
    """
    request, expert = task.request, task.expert
    assert expert is not None, "the registry gives this mode an expert"
    tokens = TokenSequence(request.prompt)
    end = len(tokens) + request.max_tokens
    seen = 0
    while len(tokens) < end:
        count = min(request.block_length or request.max_tokens, end - len(tokens))
        async for piece in expert.decode(seen, tokens.since(seen), tokens.hash(), count):
            if piece.stale:
                raise EngineFailed("expert: the session's tokens were lost")
            emitted = list(piece.tokens)
            tokens.extend(t.id for t in emitted)
            if piece.last:
                task.recorder.round()
                task.recorder.decoded(piece.timing)
            task.recorder.emitted(emitted)
            yield emitted
        if tokens.ids[-1] in request.final_token_ids:
            return
        seen = len(tokens)
