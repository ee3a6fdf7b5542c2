"""Who gives way to whom where the cache is full: chosen directly, without a model."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from router.pace.pace import MAX_LENGTH
from services.engine.cache import KeyValueCache, Slot
from services.engine.pages import PAGE
from services.engine.schedule import BLOCK, CHUNK, choose
from services.engine.session import Queued, Session
from services.engine.step import Feed, Timing


@pytest.fixture
def cache() -> KeyValueCache:
    return KeyValueCache(0, 1, 1, 3, torch.float32, torch.device("cpu"))


def session(cache: KeyValueCache, seen: int) -> Session:
    """One whose model has seen so many tokens."""
    model: Any = SimpleNamespace(new_slot=lambda: Slot(cache))
    made = Session(model)
    assert made.slot.reserve(seen)
    made.slot.extend(range(seen))
    return made


def waits(session: Session, tokens: int, rows: int = 1) -> tuple[Session, Queued]:
    """With so many tokens to feed, and rows of logits wanted."""
    feed = Feed(list(range(tokens)), rows)
    step: Any = SimpleNamespace(feed=lambda session: feed, timing=Timing())
    queued = Queued(step, feed=feed)
    session.steps.append(queued)
    return session, queued


def test_a_session_that_is_closed_while_it_is_chosen_gives_way_to_nobody(
    cache: KeyValueCache,
) -> None:
    old, young = session(cache, 0), session(cache, 1)
    turn = [waits(young, 1), waits(old, 3 * PAGE)]
    young.steps.clear()
    assert [piece.session for piece in choose(turn, [old, young], CHUNK)] == [young]
    assert len(young.slot.pages) == 1


def test_only_who_had_pages_has_given_way(cache: KeyValueCache) -> None:
    old, holds, holds_none = session(cache, 0), session(cache, 3 * PAGE), session(cache, 0)
    turn = [waits(old, 1), waits(holds, 1), waits(holds_none, 1)]
    assert choose(turn, [old, holds, holds_none], CHUNK)[0].session is old
    assert not holds.slot.length
    assert cache.preemptions == 1


def test_a_fork_is_there_to_be_given_up(cache: KeyValueCache) -> None:
    parent, other = session(cache, PAGE + 1), session(cache, 0)
    model: Any = SimpleNamespace()
    fork = Session(model, parent, PAGE + 1)
    assert not cache.pool.free
    pieces = choose([waits(other, 1)], [parent, fork, other], CHUNK)
    assert [piece.session for piece in pieces] == [other]
    assert not fork.slot.length
    assert parent.slot.length == PAGE + 1
    assert cache.preemptions == 0


def test_blocks_take_part_whole_and_prompts_share_the_chunk() -> None:
    """The longest that a router chooses, of many sessions; a prompt of as many tokens is long."""
    room = KeyValueCache(0, 1, 1, 64, torch.float32, torch.device("cpu"))
    sessions = [session(room, 1) for _ in range(12)]
    blocks = [waits(one, BLOCK + 1, rows=BLOCK + 1) for one in sessions[:8]]
    prompts = [waits(one, 60) for one in sessions[8:]]
    pieces = choose([*prompts, *blocks], sessions, CHUNK)
    assert [piece.count for piece in pieces] == [60, 60, 8, *[BLOCK + 1] * 8]
    assert [piece.long for piece in pieces] == [True] * 3 + [False] * 8
    assert MAX_LENGTH == BLOCK
