"""Blocks drafted, then verified: MODE_SPECULATIVE and MODE_SPECULATIVE_CASCADE.

Which rule decides is the expert's affair; the round is the same for all.  Draft a block, verify it,
roll the drafter back to what was accepted, append what the expert emitted, go on.
"""

from collections.abc import AsyncIterator

from cascade.v1 import expert_pb2, law_pb2

from router.sessions import ExpertSession
from router.strategies.task import Emitted, Task
from services.errors import EngineFailed
from services.tokens import TokenSequence

BLOCK_LENGTH = 5
"""Tokens drafted in a round whose block may be followed by a bonus token; one more elsewhere."""


def takes_bonus(law: law_pb2.Law) -> bool:
    """Whether a bonus token follows a block that was accepted whole (docs/rules.md).

    The expert decides that; here it only chooses how many tokens are worth drafting.
    """
    coupled = law.coupling == law_pb2.COUPLING_GUMBEL
    return law.rule == law_pb2.RULE_LOSSLESS and (coupled or law.temperature == 0)


async def speculate(task: Task) -> AsyncIterator[Emitted]:
    """The tokens of one round after another."""
    request = task.request
    drafter, expert = await task.open_drafter(), await task.open_expert()
    bonus = takes_bonus(request.law)
    # Without a bonus, one token more is drafted: the expert's pass costs and yields the same.
    length = request.block_length or BLOCK_LENGTH + (not bonus)
    tokens = TokenSequence(request.prompt)
    end = len(tokens) + request.max_tokens
    at_drafter = at_expert = 0  # how many of the tokens each peer has
    while len(tokens) < end:
        room = end - len(tokens)
        count = min(length, max(room - bonus, 1))
        block: list[law_pb2.DraftedToken] = []
        async for piece in drafter.draft(
            at_drafter, tokens.since(at_drafter), count, early_stop=request.early_stop
        ):
            block.extend(piece.tokens)
            task.recorder.drafter_step(piece.timing, last=piece.last)
        task.recorder.sent(len(block))
        verdict = await verify_block(expert, tokens, at_expert, block)
        emitted = list(verdict.tokens)[:room]
        _add_log_probs(emitted[: verdict.accepted], block)
        task.recorder.verified(len(block), verdict)
        task.recorder.round()
        task.recorder.emitted(emitted)
        at_drafter = len(tokens) + verdict.accepted
        tokens.extend(t.id for t in emitted)
        at_expert = len(tokens)
        yield emitted
        if tokens.ids[-1] in request.final_token_ids:
            return


async def verify_block(
    expert: ExpertSession,
    tokens: TokenSequence,
    at_expert: int,
    block: list[law_pb2.DraftedToken],
) -> expert_pb2.Verdict:
    """A verdict on a block after ``tokens``; replays them all where the expert has others.

    Raises:
        EngineFailed: the expert has others even then.
    """
    for position in (at_expert, 0):
        verdict = await expert.verify(position, tokens.since(position), tokens.hash(), block)
        if not verdict.stale:
            return verdict
    raise EngineFailed("expert: stale, even after a replay of all tokens")


def _add_log_probs(
    accepted: list[expert_pb2.EmittedToken], block: list[law_pb2.DraftedToken]
) -> None:
    """What the drafter said of accepted tokens, where the expert does not know it."""
    for emitted, drafted in zip(accepted, block, strict=False):
        known = emitted.log_probs.HasField("drafter")
        if drafted.HasField("scaled_log_prob") and not known:
            emitted.log_probs.drafter = drafted.scaled_log_prob
