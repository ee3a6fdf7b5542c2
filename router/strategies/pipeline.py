"""A session's blocks in flight: what is decided, what is under way to the expert, what is drafted.

Knows no network and no time.  The tokens are those decided, then those predicted: the blocks that
the expert has been sent but has not answered, as if each were accepted whole, and the drafter's
guess of the bonus token behind each.  A verdict that agrees makes them decided; one that does not
ends the prediction where it differs (docs/architecture.md, "The round").  What may follow such an
end is prepared, too: the drafter makes blocks on forks, as if a token of the block that the expert
decides were another.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cascade.v1 import drafter_pb2, expert_pb2

from router.sessions import DraftOrder, Fork
from router.strategies.blocks import Block, Flight, Outcome
from services.errors import EngineFailed
from services.tokens import TokenSequence


@dataclass
class _Draft:
    """The draft that runs: where it began, and its tokens so far."""

    start: int
    count: int
    """Tokens that it may have."""
    block: Block = field(default_factory=Block)


class Pipeline:
    """One answer's."""

    def __init__(
        self,
        prompt: TokenSequence,
        max_tokens: int,
        final_token_ids: frozenset[int],
        *,
        bonus: bool,
    ) -> None:
        """Nothing is drafted yet.

        Args:
            prompt: at least one token; grows by the answer.
            max_tokens: of the answer.
            final_token_ids: each ends the answer.
            bonus: whether a token of the expert's own follows a block that was accepted whole.
        """
        self.tokens = prompt
        self.decided = len(prompt)
        """How many of the tokens are."""
        self.flights: deque[Flight] = deque()
        """In the order in which the expert answers."""
        self._start = len(prompt)
        self._end = len(prompt) + max_tokens
        self._final = final_token_ids
        self._bonus = bonus
        self._at_drafter = 0
        self._drafted_to = 0
        """Behind this nothing was ever drafted, not even what was dropped."""
        self._draft: _Draft | None = None
        self._fork_tokens = 0
        self._outcomes: list[Outcome] = []
        """Of the block that the expert decides; after its verdict, the one that came true."""
        self._came_true = False
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
    def forking(self) -> bool:
        """Whether blocks on forks are still to come."""
        return any(outcome.block is None for outcome in self._outcomes)

    @property
    def redrafts(self) -> int:
        """At how many positions behind the tokens there was something drafted that was dropped.

        When those were decided that come before may depend on it, and so on the drafter's noise
        there.  Where a bonus may follow the expert's own noise is the same.
        """
        return 0 if self._bonus else max(self._drafted_to - len(self.tokens), 0)

    @property
    def guessing(self) -> bool:
        """Whether the draft that runs begins with a guess of the bonus."""
        return self._draft is not None and self._bonus and bool(self.flights)

    def may_draft(self, most_ahead: int) -> bool:
        """Whether there is a draft to begin now.

        Args:
            most_ahead: how many blocks may be drafted ahead of the one that the expert decides.
        """
        ahead = len(self.flights)
        if self._draft is not None or self._held or ahead > most_ahead or self.done:
            return False
        if self.forking or self._came_true:
            return False
        if ahead and self.tokens.ids[-1] in self._final:
            return False
        return self._end - len(self.tokens) - self._guesses >= 1

    @property
    def _guesses(self) -> bool:
        """Whether the next draft begins with a guess: of the bonus, behind a flight."""
        return self._bonus and bool(self.flights)

    def order(self, length: int, likely: Sequence[tuple[int, int]] = ()) -> DraftOrder:
        """The next draft, which then runs; only where there is one to begin.

        Args:
            length: tokens of a block.
            likely: outcomes worth preparing: a position in the block that the expert decides, and
                which of the alternatives there replaces its token.
        """
        start = len(self.tokens)
        room = self._end - start - self._guesses
        count = self._guesses + min(length, max(room - self._bonus, 1))
        position = min(self._at_drafter, start)
        self._draft = _Draft(start, count)
        forks = self._forks(likely) if len(self.flights) == 1 else []
        self._outcomes = [Outcome(index, fork) for index, fork in enumerate(forks)]
        rooms = [self._end - fork.position - 1 for fork in forks]
        self._fork_tokens = min([length, *rooms]) if forks else 0
        appended = self.tokens.since(position)
        return DraftOrder(position, appended, count, forks=forks, fork_tokens=self._fork_tokens)

    def _forks(self, likely: Sequence[tuple[int, int]]) -> list[Fork]:
        """Those of the likely outcomes after which the answer goes on."""
        flight = self.flights[0]
        forks = []
        for j, rank in likely:
            known = flight.drafted.alternatives[j : j + 1]
            if known and rank < len(known[0]) and flight.base + j + 1 < self._end:
                forks.append(Fork(flight.base + j, known[0][rank]))
        return [fork for fork in forks if fork.id not in self._final]

    def drafted(self, piece: drafter_pb2.DraftedBlock) -> Flight | None:
        """A piece of the draft that runs.

        Returns:
            The block to be sent now, if any; its flight begins.
        """
        draft = self._draft
        assert draft is not None, "only what runs has pieces"
        draft.block.extend(piece)
        self._has_drafted(draft.start + len(draft.block.tokens))
        if not self._agrees(draft):
            self._abandon()
            return None
        if not piece.last:
            return None
        self._draft = None
        tokens = draft.block.tokens
        self._at_drafter = draft.start + len(tokens)
        known = len(self.tokens) - draft.start  # decided meanwhile: a bonus
        if self._bonus and self.flights and not known:
            if len(tokens) == 1:  # nothing follows the guess
                self._at_drafter = draft.start
                self._held = True
                return None
            known = 1
            self.tokens.extend([tokens[0].id])
        return self._fly(draft.block.part(known))

    def forked(self, forks: drafter_pb2.DraftedForks) -> Flight | None:
        """What was drafted on the forks of the newest draft; a block to be sent now, if any."""
        for outcome in self._outcomes:
            outcome.block = Block()
            outcome.block.extend(forks.blocks[outcome.index])
            self._has_drafted(outcome.fork.position + 1 + len(outcome.block.tokens))
        return self.prepared()

    def prepared(self) -> Flight | None:
        """The block prepared for what the last verdict said, if it is there; its flight begins."""
        if not self._came_true or self.forking:
            return None
        (outcome,) = self._outcomes
        self._outcomes, self._came_true = [], False
        assert outcome.block is not None, "it is there"
        if self.done:
            return None
        room = self._end - len(self.tokens)
        return self._fly(outcome.block.part(0, max(room - self._bonus, 1)), forked=True)

    def _fly(self, block: Block, *, forked: bool = False) -> Flight | None:
        """A block goes to the expert, unless it is empty."""
        if not block.tokens:
            return None
        flight = Flight(len(self.tokens), block, ahead=bool(self.flights), forked=forked)
        self.flights.append(flight)
        self.tokens.extend(token.id for token in block.tokens)
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
        end, other = self.decided + common, ids[common:]
        true = [o for o in self._outcomes if o.fork.position == end and [o.fork.id] == other]
        if common < len(ids) or self.decided + len(ids) < next_base:
            self._truncate(end)
            self.tokens.extend(ids[common:])
            if self._draft is not None and not self._agrees(self._draft):
                self._abandon()
        self.decided += len(ids)
        self._keep(true)
        assert verdict.accepted <= len(flight.block), "no more than were sent"
        return emitted

    def append(self, ids: Sequence[int]) -> None:
        """Tokens that the expert has decided alone, behind all that was drafted."""
        assert not self.flights, "all verdicts have come"
        assert not self.drafting, "all drafts have come"
        assert not self.forking, "all forks have come"
        assert not self.redrafts, "who decides where something was drafted depends on nothing"
        self._truncate(self.decided)
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
        flight.replayed, flight.ahead, flight.forked = True, False, False
        self._truncate(flight.end)
        self.flights.append(flight)
        return flight

    def _truncate(self, length: int) -> None:
        """Ends the prediction there, and what was built on more of it."""
        self.tokens.truncate(length)
        self.flights.clear()
        self._held = False
        self._keep([])
        self._at_drafter = min(self._at_drafter, length)
        if self._draft is not None and self._draft.start > length:
            self._abandon()

    def _keep(self, true: list[Outcome]) -> None:
        """Drops all forks but what came true."""
        for outcome in self._outcomes:
            if outcome.block is None and outcome not in true:
                self._has_drafted(outcome.fork.position + 1 + self._fork_tokens)
        self._outcomes, self._came_true = true, bool(true)

    def _has_drafted(self, end: int) -> None:
        """Something was drafted, or may have been, up to there."""
        self._drafted_to = max(self._drafted_to, end)

    def _agrees(self, draft: _Draft) -> bool:
        """Whether what was decided since the draft began is what it drafted so far."""
        decided = self.tokens.since(draft.start)
        return all(a == b.id for a, b in zip(decided, draft.block.tokens, strict=False))

    def _abandon(self) -> None:
        """Whatever the draft still brings is not wanted."""
        assert self._draft is not None, "only what runs is abandoned"
        self._at_drafter = min(self._at_drafter, self._draft.start)
        self._has_drafted(self._draft.start + self._draft.count)
        self._draft = None
