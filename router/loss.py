"""What becomes of an answer when no pod of a role is left: an error, or one model alone.

Knows nothing of how a strategy works: it takes the tokens that were emitted, and has the model that
is left go on behind them, under the law of that model alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

from cascade.v1 import law_pb2

from router.sessions import DrafterSession, ExpertSession
from router.strategies import Emitted, Strategy, Task
from router.strategies.alone import decode_from, draft_from, drafters_word
from services.errors import NoPodLeft
from services.tokens import TokenSequence

OpenDrafter = Callable[[law_pb2.Law], Awaitable[DrafterSession]]
OpenExpert = Callable[[law_pb2.Law], Awaitable[ExpertSession]]


async def outlive_losses(
    task: Task,
    strategy: Strategy,
    let_go: Callable[[], None],
    open_drafter: OpenDrafter,
    open_expert: OpenExpert,
) -> AsyncIterator[Emitted]:
    """What the strategy emits, then what the model that is left does.

    Args:
        task: the answer to make.
        strategy: makes it.
        let_go: ends the sessions that it has opened.
        open_drafter, open_expert: open a session under another law than the request's.

    Raises:
        NoPodLeft: and the request does not want another law.
    """
    ids = list(task.request.prompt)
    try:
        async for emitted in strategy(task):
            ids += [token.id for token in emitted]
            yield emitted
    except NoPodLeft as error:
        let_go()
        request = task.request
        if not (request.outlives_drafter if error.role == "drafter" else request.outlives_expert):
            raise
        task.recorder.lost(error.role)
        tokens = TokenSequence(ids)
        if error.role == "drafter":
            expert = await open_expert(alone(task.request.law, law_pb2.MODE_EXPERT))
            async for emitted in decode_from(task, expert, tokens, seen=0):
                yield emitted
        else:
            drafter = await open_drafter(alone(task.request.law, law_pb2.MODE_DRAFTER))
            async for drafted in draft_from(task, drafter, tokens):
                emitted = [drafters_word(token) for token in drafted]
                task.recorder.emitted(emitted)
                yield emitted


def alone(law: law_pb2.Law, mode: law_pb2.Mode.ValueType) -> law_pb2.Law:
    """The law of one model alone: its sampling and its seed are the request's."""
    lone = law_pb2.Law()
    lone.CopyFrom(law)
    lone.mode, lone.rule, lone.alpha = mode, law_pb2.RULE_UNSPECIFIED, 0.0
    lone.form, lone.coupling = law_pb2.FORM_RESIDUAL, law_pb2.COUPLING_INDEPENDENT
    return lone
