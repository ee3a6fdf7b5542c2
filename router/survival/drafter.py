"""A session on drafters: the next one goes on where the last one was."""

from dataclasses import dataclass

from cascade.v1 import drafter_pb2

from router.sessions import DrafterSession, DraftOrder
from router.survival.held import Held
from router.survival.opener import Opener
from router.survival.surviving import Surviving

Piece = drafter_pb2.DraftedBlock | drafter_pb2.DraftedForks


@dataclass
class _Draft:
    """The newest draft; those before it are superseded."""

    id: int
    order: DraftOrder
    """What is still to come of it."""
    last: bool = False
    """Whether the last piece has been."""


class SurvivingDrafter(Surviving[DrafterSession], DrafterSession):
    """Mirrors the session's tokens and those drafted; of a draft that was lost it asks the rest."""

    def __init__(self, opener: Opener[DrafterSession], held: Held[DrafterSession]) -> None:
        """See Surviving."""
        super().__init__(opener, held)
        self._tokens: list[int] = []
        self._at_pod = 0
        """How many of them the pod has for certain."""
        self._draft = _Draft(0, DraftOrder(0, (), 0), last=True)

    async def start_draft(self, order: DraftOrder) -> int:
        """See DrafterSession."""
        self._tokens[order.position :] = order.append
        self._draft = _Draft(self._draft.id + 1, order)
        await self._send_soon(self._ask)  # what was decided need not wait for a pod
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
        if not draft.last or draft.order.forks:
            await self._ask(session)

    async def _ask(self, session: DrafterSession) -> None:
        order = self._draft.order
        # A draft may be superseded before it begins, and then what it appends never comes to be.
        self._at_pod = position = min(order.position, self._at_pod)
        append = self._tokens[position:]
        await session.start_draft(order._replace(position=position, append=append))

    def _take(self, piece: Piece) -> bool:
        """Mirrors what a piece brings; whether that is new."""
        draft, order = self._draft, self._draft.order
        if isinstance(piece, drafter_pb2.DraftedForks):
            draft.order = order._replace(forks=())
            return True
        if draft.last:  # of a replay for the forks alone
            return False
        # A deferred token that ends its draft is no part of the session's tokens.
        stops = order.stop_at_deferral
        self._tokens += [token.id for token in piece.tokens if not (stops and token.defer)]
        self._at_pod = len(self._tokens)
        draft.last = piece.last
        if not piece.last or order.forks:
            remaining = 0 if piece.last else order.max_tokens - len(piece.tokens)
            draft.order = order._replace(max_tokens=remaining)
        return True
