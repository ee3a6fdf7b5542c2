"""A session on a drafter and one on an expert: what a strategy drives.

These two classes are the seam: the strategies know nothing else, and tests put a fake in their
place.  What is asked and what is answered are two calls each, so that a strategy can ask one model
while the other works; one that does one thing after the other has both in one.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import NamedTuple

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2


class Fork(NamedTuple):
    """Where a fork of a draft leaves the session's tokens."""

    position: int
    """Tokens that both have."""
    id: int
    """The token that follows them on the fork."""


class DraftOrder(NamedTuple):
    """What to ask of a drafter: truncate to ``position``, append, draft."""

    position: int
    append: Sequence[int]
    max_tokens: int
    """To draft after them."""
    piece_length: int = 0
    """Tokens of a piece; 0: one piece."""
    early_stop: float = 0.0
    """Ends the draft after a token whose max q1 is below it."""
    top_probs: bool = False
    """Whether to report each token's max q1."""
    acceptance: Sequence[float] = ()
    """The chance of a token to be accepted, by equal ranges of its max q1."""
    least_chance: float = 0.0
    """Ends the draft after a token with which their product over the block falls below it."""
    alternatives: int = 0
    """Next-best tokens to report with each one."""
    forks: Sequence[Fork] = ()
    """Where to draft, in the same passes, as if a token were another."""
    fork_tokens: int = 0
    """To draft on each."""
    stop_at_deferral: bool = False
    """Ends the draft with the first token that the drafter defers."""


class DrafterSession(ABC):
    """A session on a drafter."""

    @abstractmethod
    async def start_draft(self, order: DraftOrder) -> int:
        """Asks for a draft; supersedes one that runs.

        Returns:
            The step's id, which its pieces bear.
        """

    @abstractmethod
    async def piece(self) -> drafter_pb2.DraftedBlock | drafter_pb2.DraftedForks:
        """The next piece of the newest draft, or what was drafted on all its forks."""

    async def draft(self, order: DraftOrder) -> AsyncIterator[drafter_pb2.DraftedBlock]:
        """Starts a draft without forks; gives its pieces."""
        await self.start_draft(order)
        while True:
            piece = await self.piece()
            assert isinstance(piece, drafter_pb2.DraftedBlock), "no forks were asked for"
            yield piece
            if piece.last:
                return

    @abstractmethod
    def close(self) -> None:
        """Frees the slot."""


class ExpertSession(ABC):
    """A session on an expert."""

    @abstractmethod
    async def start_verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> None:
        """Truncate to ``position``, append, verify the block that follows."""

    @abstractmethod
    async def verdict(self) -> expert_pb2.Verdict:
        """The next verdict, in the order in which they were asked for."""

    async def verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> expert_pb2.Verdict:
        """Asks for a verdict, and waits for it; no other may be under way."""
        await self.start_verify(position, append, prefix_hash, block)
        return await self.verdict()

    @abstractmethod
    def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncGenerator[expert_pb2.DecodedTokens, None]:
        """Truncate to ``position``, append, decode with the expert alone."""

    @abstractmethod
    def close(self) -> None:
        """Frees the slot."""
