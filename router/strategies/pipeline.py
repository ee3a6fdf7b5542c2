"""A session's blocks in flight: what is decided, what is under way to the expert, what is drafted.

Knows no network and no time.  The tokens are those decided, then those predicted: the blocks that
the expert has been sent but has not answered, as if each were accepted whole, and the drafter's
guess of the bonus token behind each.  A verdict that agrees makes them decided; one that does not
ends the prediction where it differs (docs/architecture.md, "The round").
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cascade.v1 import expert_pb2, law_pb2

from services.errors import EngineFailed
from services.tokens import TokenSequence


@dataclass(frozen=True)
class DraftOrder:
    """What to ask of the drafter: truncate to ``position``, append, draft."""

    position: int
    append: list[int]
    max_tokens: int


@dataclass
class Flight:
    """A block that is on its way to the expert, or back."""

    base: int
    """Tokens before it."""
    block: list[law_pb2.DraftedToken]
    ahead: bool
    """Whether tokens before it were only predicted when it began."""
    replayed: bool = False
    sent: float | None = None
    """When, on the caller's clock, where no other was under way."""

    @property
    def end(self) -> int:
        """Tokens up to its end."""
        return self.base + len(self.block)


@dataclass
class _Draft:
    """The draft that runs: where it began, and its tokens so far."""

    start: int
    tokens: list[law_pb2.DraftedToken] = field(default_factory=list)


class Pipeline:
    """One answer's."""

    def __init__(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        final_token_ids: frozenset[int],
        *,
        bonus: bool,
    ) -> None:
        """Nothing is drafted yet.

        Args:
            prompt: at least one token.
            max_tokens: of the answer.
            final_token_ids: each ends the answer.
            bonus: whether a token of the expert's own follows a block that was accepted whole.
        """
        self.tokens = TokenSequence(prompt)
        self.decided = len(prompt)
        """How many of the tokens are."""
        self.flights: deque[Flight] = deque()
        """In the order in which the expert answers."""
        self._start = len(prompt)
        self._end = len(prompt) + max_tokens
        self._final = final_token_ids
        self._bonus = bonus
        self._at_drafter = 0
        self._draft: _Draft | None = None
        self._held = False
        """Whether to wait for a verdict: there is nothing to draft before."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        if self.decided == self._start:
            return False
        return self.decided >= self._end or self.tokens.ids[self.decided - 1] in self._final

    @property
    def room(self) -> int:
        """Tokens that are still to be decided, at most."""
        return self._end - self.decided

    @property
    def drafting(self) -> bool:
        """Whether a draft runs."""
        return self._draft is not None

    @property
    def guessing(self) -> bool:
        """Whether the draft that runs begins with a guess of the bonus."""
        return self._draft is not None and self._bonus and bool(self.flights)

    def order(self, length: int, most_ahead: int) -> DraftOrder | None:
        """The next draft, which then runs; None: there is none to begin now.

        Args:
            length: tokens of a block.
            most_ahead: how many blocks may be drafted ahead of the one that the expert decides.
        """
        ahead = len(self.flights)
        start = len(self.tokens)
        if self._draft is not None or self._held or self.done or ahead > most_ahead:
            return None
        if ahead and self.tokens.ids[-1] in self._final:
            return None
        # Behind a flight the first token is a guess of the bonus.
        guessed = self._bonus and ahead > 0
        room = self._end - start - guessed
        if room < 1:
            return None
        count = guessed + min(length, max(room - self._bonus, 1))
        position = min(self._at_drafter, start)
        self._draft = _Draft(start)
        return DraftOrder(position, self.tokens.since(position), count)

    def drafted(self, tokens: Sequence[law_pb2.DraftedToken], *, last: bool) -> Flight | None:
        """A piece of the draft that runs.

        Returns:
            The block to be sent now, if any; its flight begins.
        """
        draft = self._draft
        assert draft is not None, "only what runs has pieces"
        draft.tokens.extend(tokens)
        if not self._agrees(draft):
            self._abandon()
            return None
        if not last:
            return None
        self._draft = None
        self._at_drafter = draft.start + len(draft.tokens)
        known = len(self.tokens) - draft.start  # decided meanwhile: a bonus
        if self._bonus and self.flights and not known:
            if len(draft.tokens) == 1:  # nothing follows the guess
                self._at_drafter = draft.start
                self._held = True
                return None
            known = 1
            self.tokens.extend([draft.tokens[0].id])
        block = draft.tokens[known:]
        if not block:
            return None
        flight = Flight(len(self.tokens), block, ahead=bool(self.flights))
        self.flights.append(flight)
        self.tokens.extend(token.id for token in block)
        return flight

    def verdict(self, verdict: expert_pb2.Verdict) -> list[expert_pb2.EmittedToken]:
        """The first flight's verdict, not stale; gives what it decides.

        Where it decides otherwise than predicted, all later flights are dropped, and so is the
        draft if it was built on them.
        """
        flight = self.flights.popleft()
        emitted = list(verdict.tokens)[: self._end - self.decided]
        ids = [token.id for token in emitted]
        predicted = self.tokens.since(self.decided)
        common = 0
        while common < min(len(ids), len(predicted)) and ids[common] == predicted[common]:
            common += 1
        self._held = False
        # A rejected token can be replaced by the same: what was drafted behind it is not decided.
        next_base = self.flights[0].base if self.flights else flight.end
        if common < len(ids) or self.decided + len(ids) < next_base:
            self._truncate(self.decided + common)
            self.tokens.extend(ids[common:])
            if self._draft is not None and not self._agrees(self._draft):
                self._abandon()
        self.decided += len(ids)
        assert verdict.accepted <= len(flight.block), "no more than were sent"
        return emitted

    def append(self, ids: Sequence[int]) -> None:
        """Tokens that the expert has decided alone, while no block was under way."""
        assert not self.flights, "all verdicts have come"
        self._truncate(self.decided)
        if self._draft is not None:
            self._abandon()
        self.tokens.extend(ids)
        self.decided += len(ids)

    def replay(self) -> Flight:
        """The first flight, to be sent once more with all tokens before it; later ones are dropped.

        Raises:
            EngineFailed: it has been sent so before.
        """
        flight = self.flights[0]
        assert flight.base == self.decided, "a predicted token is never given as decided"
        if flight.replayed:
            raise EngineFailed("expert: stale, even after a replay of all tokens")
        flight.replayed, flight.ahead = True, False
        self._truncate(flight.end)
        self.flights.append(flight)
        return flight

    def _truncate(self, length: int) -> None:
        """Ends the prediction there, and what was built on more of it."""
        self.tokens.truncate(length)
        self.flights.clear()
        self._held = False
        self._at_drafter = min(self._at_drafter, length)
        if self._draft is not None and self._draft.start > length:
            self._abandon()

    def _agrees(self, draft: _Draft) -> bool:
        """Whether what was decided since the draft began is what it drafted so far."""
        decided = self.tokens.since(draft.start)
        return all(a == b.id for a, b in zip(decided, draft.tokens, strict=False))

    def _abandon(self) -> None:
        """Whatever the draft still brings is not wanted."""
        assert self._draft is not None, "only what runs is abandoned"
        self._at_drafter = min(self._at_drafter, self._draft.start)
        self._draft = None
