"""Who gives way to whom where the cache is full: chosen directly, without a model."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from services.engine.cache import KeyValueCache, Slot
from services.engine.pages import PAGE
from services.engine.schedule import CHUNK, choose
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


def waits(session: Session, tokens: int) -> tuple[Session, Queued]:
    """With so many tokens to feed."""
    feed = Feed(list(range(tokens)), 1)
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
