"""Pages: who holds what, what is found again, and that nothing is lost."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.engine.cache import KeyValueCache, Slot
from services.engine.pages import PAGE, ROOT, PagePool

PAGES = 12


def a_cache(pages: int = PAGES) -> KeyValueCache:
    """One layer, small heads."""
    return KeyValueCache(1, 1, 1, pages, torch.float32, torch.device("cpu"))


def see(slot: Slot, cache: KeyValueCache, tokens: list[int]) -> bool:
    """Feeds tokens: each key is the token itself, as if a model had computed it."""
    if not slot.reserve(len(tokens)):
        return False
    for i, token in enumerate(tokens, slot.length):
        cache.keys[0][slot.pages[i // PAGE] * PAGE + i % PAGE] = token
    slot.extend(tokens)
    return True


def held(slot: Slot, cache: KeyValueCache) -> list[int]:
    """The keys that the slot's pages hold."""
    return [int(cache.keys[0][slot.pages[i // PAGE] * PAGE + i % PAGE]) for i in range(slot.length)]


EDITS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["truncate", "see", "share", "again"]),
        st.integers(0, 60),
        st.integers(0, 1),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(EDITS)
def test_every_slot_holds_its_own_tokens_and_no_page_is_lost(
    edits: list[tuple[int, str, int, int]],
) -> None:
    cache = a_cache()
    pool, slots = cache.pool, [Slot(cache) for _ in range(4)]
    for index, what, n, kind in edits:
        slot = slots[index]
        match what:
            case "truncate":
                slot.truncate(n)
            case "see":
                start = slot.length
                see(slot, cache, [kind + start + i for i in range(n)])
            case "share":
                slot.share()
            case "again":
                slot.truncate(0)
                tokens = [kind + i for i in range(n)]
                found = slot.adopt(tokens)
                assert found % PAGE == 0
                see(slot, cache, tokens[found:])
        for other in slots:
            assert held(other, cache) == other.tokens
            assert len(other.pages) == -(-other.length // PAGE)
        holders = [page for other in slots for page in other.pages]
        assert all(pool.references(page) == holders.count(page) for page in range(PAGES))
        assert pool.free == PAGES - len(set(holders))
    for slot in slots:
        slot.truncate(0)
    assert pool.free == PAGES


def test_a_prefix_is_found_until_its_room_is_needed() -> None:
    cache = a_cache(4)
    tokens = list(range(3 * PAGE))
    first = Slot(cache)
    see(first, cache, tokens)
    first.share()
    first.truncate(0)
    assert cache.pool.free == 4
    second = Slot(cache)
    assert second.adopt([*tokens[: 2 * PAGE], 99]) == 2 * PAGE
    assert held(second, cache) == tokens[: 2 * PAGE]
    third = Slot(cache)
    assert third.reserve(2 * PAGE)
    fourth = Slot(cache)
    assert not fourth.reserve(1)
    second.truncate(0)
    third.truncate(0)
    assert fourth.adopt(tokens) == 2 * PAGE, "the third page's room was needed"
    assert (cache.queried_tokens, cache.found_tokens) == (5 * PAGE + 1, 4 * PAGE)


def test_a_shared_page_is_copied_before_it_is_written() -> None:
    cache = a_cache(4)
    tokens = list(range(PAGE))
    one, two = Slot(cache), Slot(cache)
    see(one, cache, tokens)
    one.share()
    assert two.adopt(tokens) == PAGE
    assert two.pages == one.pages
    two.truncate(PAGE - 2)
    assert see(two, cache, [77, 78, 79])
    assert held(one, cache) == tokens
    assert held(two, cache) == [*tokens[:-2], 77, 78, 79]


def test_the_same_tokens_after_another_prefix_are_another_page() -> None:
    pool = PagePool(4)
    tokens = tuple(range(PAGE))
    first, second = pool.take(), pool.take()
    assert first is not None
    assert second is not None
    serial = pool.register(first, ROOT, tokens)
    assert pool.find(serial, tokens) is None
    assert pool.register(second, serial, tokens) != serial
    assert pool.register(3, ROOT, tokens) == serial, "there already"


def test_where_neighbours_are_worth_nothing_the_first_empty_page_is_given() -> None:
    pool = PagePool(64, in_rows=False)
    assert [pool.take(after=40) for _ in range(6)] == list(range(6))
    pool.release(2)
    assert [pool.take(), pool.take()] == [2, 6]


def test_neighbours_are_given_where_they_can_be() -> None:
    pool = PagePool(64)
    starts = [pool.take() for _ in range(4)]
    for _ in range(10):
        starts = [pool.take(page) for page in starts]
    pages = sorted(page for page in range(64) if pool.references(page))
    runs = sum(1 for page in pages if page - 1 not in pages)
    assert (len(pages), runs) == (44, 4)
