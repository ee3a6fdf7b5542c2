"""The drafter decodes; the expert is asked for the tokens that the rule defers: MODE_TOKEN_CASCADE.

Sequential: the drafter waits for each deferred token.  The expert catches up on what it did not see
in the same pass that makes the token.  A speculative cascade whose drafter decides alone has the
same tokens where none depends on what was rejected, and is carried out so where that is faster.
"""

from collections.abc import AsyncIterator

from cascade.v1 import expert_pb2

from router.pace import Draft, Pass
from router.sessions import DraftOrder, ExpertSession
from router.strategies.alone import drafters_word
from router.strategies.task import Emitted, Task
from services.errors import EngineFailed
from services.tokens import TokenSequence

_MAX_DRAFT = 1024


async def token_cascade(task: Task) -> AsyncIterator[Emitted]:
    """Tokens as they come, the drafter's until it defers.

    A block length cuts the drafter's steps; it changes no token.
    """
    request = task.request
    drafter = await task.open_drafter()
    expert: ExpertSession | None = None
    tokens = request.tokens()
    end = len(tokens) + request.max_tokens
    at_drafter = at_expert = 0  # how many of the tokens each peer has
    while len(tokens) < end:
        count = min(request.block_length or _MAX_DRAFT, _MAX_DRAFT, end - len(tokens))
        deferred = False
        task.recorder.round()
        append = tokens.since(at_drafter)
        order = DraftOrder(at_drafter, append, count, piece_length=1, stop_at_deferral=True)
        async for piece in drafter.draft(order):
            task.recorder.drafter_step(piece.timing, last=piece.last)
            deferred = any(t.defer for t in piece.tokens)  # always the step's last token
            task.history.deferrals.add(float(deferred))
            if at_drafter and piece.last and piece.timing.passes:  # no prompt was fed
                task.history.times.drafted(Draft.of(piece.timing))
            emitted = [drafters_word(t) for t in piece.tokens if not t.defer]
            tokens.extend(t.id for t in emitted)
            if emitted:
                task.recorder.emitted(emitted)
                yield emitted
        at_drafter = len(tokens)
        if deferred:
            expert = expert or await task.open_expert()
            emitted = await _ask(task, expert, tokens, at_expert)
            tokens.extend(t.id for t in emitted)
            at_expert = len(tokens)
            yield emitted
        if tokens.ids[-1] in request.final_token_ids:
            return


async def _ask(task: Task, expert: ExpertSession, tokens: TokenSequence, at_expert: int) -> Emitted:
    """The expert's own next token.

    Raises:
        EngineFailed: the expert has other tokens.
    """
    emitted: Emitted = []
    async for piece in expert.decode(at_expert, tokens.since(at_expert), tokens.hash(), 1):
        if piece.stale:
            raise EngineFailed("expert: the session's tokens were lost")
        emitted.extend(piece.tokens)
        task.recorder.expert_step(piece.timing, last=piece.last)
        if at_expert:  # no prompt was fed
            task.history.decoded(Pass.mean(piece.timing))
    for token in emitted:
        token.origin = expert_pb2.ORIGIN_DEFERRED
    task.recorder.emitted(emitted)
    return emitted
