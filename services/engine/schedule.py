"""Who takes part in the next pass, and with how many tokens.

Every session with little to feed, a drafted token or a block, takes part in every pass.  Long
feeds share ``chunk`` tokens of a pass, in turn: a long prompt delays nobody by more than one chunk.
Where no other session is open it takes two, which only one that comes meanwhile can wait for.
Where the cache is full, sessions that have had nothing to do for a while give way first, then the
youngest to older ones, and see their tokens anew later: the oldest always goes on, so that all come
to their end.  Forks are the first to give way, and take nothing from anybody.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.engine.batch import Part
from services.engine.session import Queued, Session
from services.engine.step import Feed

SHORT = 16
"""Feeds of at most so many tokens, beside a block, take part whole in every pass."""

BLOCK = 32
"""Tokens of a block that count as one: with a block each session takes part in every pass."""

CHUNK = 128
"""Tokens of long feeds in one pass."""

CHUNKS_ALONE = 2
"""Chunks that a session takes in one pass while it is the only one that is open."""

IDLE_S = 2.0
"""A session without a pass for so long gives way to all others.  Until then it may be between two
rounds: its tokens, fed anew in each of them, would cost more than what younger ones wait."""

Waiting = tuple[Session, Queued]
"""A session and the step that it waits with."""


@dataclass
class Piece:
    """A session's part of the next pass."""

    session: Session
    queued: Queued
    count: int
    """Tokens, of those left to feed the first."""
    rows: int
    """Of these the last ones, whose logits are wanted."""
    long: bool = False
    """Whether it is part of a long feed."""

    @property
    def part(self) -> Part:
        """What the model is given."""
        assert self.queued.feed is not None, "what takes part has something to feed"
        return Part(self.session.slot, self.queued.feed.tokens[: self.count], self.rows)

    @property
    def last(self) -> bool:
        """Whether nothing of the feed is left after it."""
        assert self.queued.feed is not None, "what takes part has something to feed"
        return self.count == len(self.queued.feed.tokens)


def choose(turn: Sequence[Waiting], sessions: Iterable[Session], chunk: int) -> list[Piece]:
    """Chooses, and makes room for what it chooses.

    Args:
        turn: sessions with something to feed, those first that waited the longest.
        sessions: all that are open, the least recently used first.
        chunk: tokens of long feeds.

    Returns:
        The pieces; none where all of ``turn`` waits for room that others may not need for long.
    """
    everyone = list(sessions)
    if len(everyone) == 1:
        chunk *= CHUNKS_ALONE
    present = {session for session, _ in turn}  # one that is closed meanwhile has no steps left
    idle = [one for one in everyone if not (one.steps or one in present) and one.slot.pages]
    idle.sort(key=lambda session: session.parent is None)
    awake = time.perf_counter() - IDLE_S
    pieces: list[Piece] = []
    taking: set[Session] = set()
    for session, queued in turn:
        feed = left(session, queued)
        count = len(feed.tokens)
        if long := is_long(feed):
            count = min(count, chunk)
        if not count:
            continue
        if session.parent is not None:
            if long or not session.slot.reserve(count):
                queued.over = True
                queued.step.give_up()
                continue
        elif not session.slot.reserve(count):
            younger = [one for one in turn if one[0].number > session.number]
            waiting = [one for one in younger if one[0] not in taking and one[0].slot.pages]
            yields = [one for one in idle if one.number > session.number or one.ran < awake]
            resting = [one for one in yields if one.slot.pages]
            if not _make_room(session, count, resting, sorted(waiting, key=_age)):
                continue
        if long:
            chunk -= count
        rows = max(0, count - (len(feed.tokens) - feed.rows))
        pieces.append(Piece(session, queued, count, rows, long))
        taking.add(session)
    return pieces


def is_long(feed: Feed) -> bool:
    """Whether a feed shares the chunk: of a block's tokens, whose rows are wanted, one counts."""
    block = min(max(feed.rows - 1, 0), BLOCK)
    return len(feed.tokens) - block > SHORT


def _age(waiting: Waiting) -> int:
    return waiting[0].number


def left(session: Session, queued: Queued) -> Feed:
    """What is left to feed of the session's step: at first without what the cache has of it."""
    if queued.feed is None:
        queued.logits.clear()
        feed = queued.step.feed(session)
        if not session.slot.length:
            # At least one token is fed, and each whose logits are wanted.
            found = session.slot.adopt(feed.tokens[: len(feed.tokens) - max(feed.rows, 1)])
            queued.step.timing.found += found
            session.timing.found += found
            feed = Feed(feed.tokens[found:], feed.rows)
        queued.feed = feed
    return queued.feed


def _make_room(session: Session, count: int, idle: list[Session], younger: list[Waiting]) -> bool:
    """Lets others give way until there is room for ``count`` tokens of a session: forks first.

    In ``idle`` they come first, in ``younger`` last.  Nobody does where all hold too little.
    """
    victims = [one.slot for one in (*idle, *(waiting for waiting, _ in younger))]
    if session.slot.missing(count, victims) > 0:
        return False
    while not session.slot.reserve(count):
        fork_waits = bool(younger) and younger[-1][0].parent is not None
        if idle and (idle[0].parent is not None or not fork_waits):
            victim = idle.pop(0)
        else:
            victim, queued = younger.pop()
            queued.feed = None  # it sees its tokens anew
        if victim.parent is None:
            victim.slot.give_way()
        else:  # a fork is there to be given up
            victim.slot.truncate(0)
    return True
