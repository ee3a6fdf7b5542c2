"""A session on drafters: the next one goes on where the last one was."""

from collections.abc import Sequence
from dataclasses import dataclass

from cascade.v1 import drafter_pb2

from router.sessions import DrafterSession, Fork
from router.survival.held import Held
from router.survival.opener import Opener
from router.survival.surviving import Surviving

Piece = drafter_pb2.DraftedBlock | drafter_pb2.DraftedForks


@dataclass
class _Draft:
    """The newest draft; those before it are superseded."""

    id: int
    position: int
    remaining: int
    """Tokens that have not been handed out."""
    piece_length: int
    early_stop: float
    alternatives: int
    forks: Sequence[Fork]
    """Whose blocks have not been handed out."""
    fork_tokens: int
    stop_at_deferral: bool
    last: bool = False
    """Whether the last piece has been."""


class SurvivingDrafter(Surviving[DrafterSession], DrafterSession):
    """Mirrors the session's tokens and those drafted; of a draft that was lost it asks the rest."""

    def __init__(self, opener: Opener[DrafterSession], held: Held[DrafterSession]) -> None:
        """See Surviving."""
        super().__init__(opener, held)
        self._tokens: list[int] = []
        self._at_pod = 0
        """How many of them the pod has."""
        self._draft = _Draft(0, 0, 0, 0, 0.0, 0, (), 0, False, last=True)

    async def start_draft(
        self,
        position: int,
        append: Sequence[int],
        max_tokens: int,
        *,
        piece_length: int = 0,
        early_stop: float = 0.0,
        alternatives: int = 0,
        forks: Sequence[Fork] = (),
        fork_tokens: int = 0,
        stop_at_deferral: bool = False,
    ) -> int:
        """See DrafterSession."""
        self._tokens[position:] = append
        self._draft = _Draft(
            id=self._draft.id + 1,
            position=position,
            remaining=max_tokens,
            piece_length=piece_length,
            early_stop=early_stop,
            alternatives=alternatives,
            forks=forks,
            fork_tokens=fork_tokens,
            stop_at_deferral=stop_at_deferral,
        )
        await self._send(self._ask)
        return self._draft.id

    async def piece(self) -> Piece:
        """See DrafterSession."""
        while True:
            piece = await self._receive(lambda session: session.piece())
            if self._take(piece):
                piece.step_id = self._draft.id
                return piece

    async def _replay(self, session: DrafterSession) -> None:
        """All tokens, with those of the draft that were handed out, and what is missing of it."""
        self._at_pod = 0
        draft = self._draft
        if not draft.last or draft.forks:
            await self._ask(session)

    async def _ask(self, session: DrafterSession) -> None:
        draft = self._draft
        position = min(draft.position, self._at_pod)
        self._at_pod = len(self._tokens)
        await session.start_draft(
            position,
            self._tokens[position:],
            draft.remaining,
            piece_length=draft.piece_length,
            early_stop=draft.early_stop,
            alternatives=draft.alternatives,
            forks=draft.forks,
            fork_tokens=draft.fork_tokens,
            stop_at_deferral=draft.stop_at_deferral,
        )

    def _take(self, piece: Piece) -> bool:
        """Mirrors what a piece brings; whether that is new."""
        draft = self._draft
        if isinstance(piece, drafter_pb2.DraftedForks):
            draft.forks = ()
            return True
        if draft.last:  # of a replay for the forks alone
            return False
        # A deferred token that ends its draft is no part of the session's tokens.
        stops = draft.stop_at_deferral
        self._tokens += [token.id for token in piece.tokens if not (stops and token.defer)]
        self._at_pod = len(self._tokens)
        draft.remaining -= len(piece.tokens)
        draft.last = piece.last
        if piece.last:
            draft.remaining = 0
        return True
