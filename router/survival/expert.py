"""A session on experts: the next one goes on where the last one was."""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from cascade.v1 import expert_pb2, law_pb2

from router.sessions import ExpertSession
from router.survival.held import Held
from router.survival.opener import Opener
from router.survival.surviving import Surviving
from services.errors import PeerLost
from services.tokens import extend_hash


@dataclass(frozen=True)
class _Verify:
    """A step that was not answered yet."""

    position: int
    append: Sequence[int]
    prefix_hash: int
    block: Sequence[law_pb2.DraftedToken]

    async def ask(self, session: ExpertSession) -> None:
        """Sends it."""
        await session.start_verify(self.position, self.append, self.prefix_hash, self.block)


class SurvivingExpert(Surviving[ExpertSession], ExpertSession):
    """Mirrors the session's tokens by what the verdicts said; sends what has no verdict again."""

    def __init__(self, opener: Opener[ExpertSession], held: Held[ExpertSession]) -> None:
        """See Surviving."""
        super().__init__(opener, held)
        self._tokens: list[int] = []
        """As of the last answer."""
        self._asked: deque[_Verify] = deque()
        """What has no verdict yet, in order."""
        self._fills = 0
        """Answers that are to come before these: of steps that only brought the tokens."""

    async def start_verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> None:
        """See ExpertSession."""
        step = _Verify(position, list(append), prefix_hash, list(block))
        self._asked.append(step)
        await self._send(step.ask)

    async def verdict(self) -> expert_pb2.Verdict:
        """See ExpertSession."""
        while True:
            verdict = await self._receive(lambda session: session.verdict())
            if self._fills:
                self._fills -= 1
                continue
            step = self._asked.popleft()
            if not verdict.stale:
                self._tokens[step.position :] = step.append
                self._tokens += [token.id for token in verdict.tokens]
            return verdict

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncGenerator[expert_pb2.DecodedTokens, None]:
        """See ExpertSession.  No verdict is awaited meanwhile."""
        self._tokens[position:] = append
        while True:
            held = self._held
            pieces = held.session.decode(position, append, prefix_hash, max_tokens)
            try:
                while True:
                    piece = await held.wait(anext(pieces))
                    self._losses = 0
                    ids = [token.id for token in piece.tokens]
                    self._tokens += ids
                    max_tokens -= len(ids)
                    yield piece
                    if piece.last or piece.stale:
                        return
            except PeerLost as error:
                await self._survive(held, error)
            position, append = 0, list(self._tokens)
            prefix_hash = extend_hash(0, append)

    async def _replay(self, session: ExpertSession) -> None:
        """The tokens, with the first step where it goes on from them; then all other steps."""
        self._fills = 0
        steps = list(self._asked)
        if steps and self._goes_on(steps[0]):
            first = steps[0]
            tokens = [*self._tokens[: first.position], *first.append]
            steps[0] = _Verify(0, tokens, first.prefix_hash, first.block)
        elif steps and self._tokens:
            self._fills = 1
            steps.insert(0, _Verify(0, self._tokens, extend_hash(0, self._tokens), ()))
        for step in steps:
            await step.ask(session)

    def _goes_on(self, step: _Verify) -> bool:
        """Whether a step is not stale."""
        if step.position > len(self._tokens):
            return False
        tokens = [*self._tokens[: step.position], *step.append]
        return extend_hash(0, tokens) == step.prefix_hash
