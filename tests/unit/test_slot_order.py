"""An answer waits for a drafter's slot without holding an expert's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from router.survival import order
from router.survival.held import Held
from router.survival.order import SlotOrder
from services.errors import NoPodLeft


class Session:
    """Holds a slot."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


Slot = Held[Session]


class Fake:
    """In a Held's place: no pod and no lease lie behind it."""

    def __init__(self) -> None:
        self.session = Session()
        self.close = self.session.close


def slot() -> Slot:
    return cast(Slot, Fake())


def opens(after: "asyncio.Event | None" = None) -> Callable[[], Awaitable[Slot]]:
    async def open_anew() -> Slot:
        if after is not None:
            await after.wait()
        return slot()

    return open_anew


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_SOON_S", 0.01)


async def test_a_drafter_that_is_there_soon_takes_nothing_from_the_expert() -> None:
    slots, gave = SlotOrder(), list[int]()
    slots.give_way = lambda: gave.append(1)
    await slots.reopen_drafter(opens())
    await slots.reopen_expert(opens())
    assert not gave


async def test_the_expert_gives_way_and_waits_until_the_drafter_has_its_slot() -> None:
    slots, gave, free = SlotOrder(), asyncio.Event(), asyncio.Event()
    slots.give_way = gave.set
    drafter = asyncio.create_task(slots.reopen_drafter(opens(free)))
    await gave.wait()
    expert = asyncio.create_task(slots.reopen_expert(opens()))
    await asyncio.sleep(0.02)
    assert not expert.done()
    free.set()
    assert not (await drafter).session.closed
    assert not (await expert).session.closed


async def test_an_expert_that_was_opened_meanwhile_is_closed_and_opened_anew() -> None:
    slots, gave, there, free = SlotOrder(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    slots.give_way = gave.set
    opened: list[Slot] = []

    async def open_anew() -> Slot:
        await there.wait()
        opened.append(slot())
        return opened[-1]

    expert = asyncio.create_task(slots.reopen_expert(open_anew))
    drafter = asyncio.create_task(slots.reopen_drafter(opens(free)))
    await gave.wait()
    there.set()
    await asyncio.sleep(0.02)
    assert not expert.done()
    assert [held.session.closed for held in opened] == [True]
    free.set()
    await drafter
    assert await expert is opened[1]
    assert not opened[1].session.closed


async def test_where_no_drafter_comes_the_expert_goes_on() -> None:
    slots, gave, free = SlotOrder(), asyncio.Event(), asyncio.Event()
    slots.give_way = gave.set

    async def fails() -> Slot:
        await free.wait()
        raise NoPodLeft("drafter", "gone")

    drafter = asyncio.create_task(slots.reopen_drafter(fails))
    await gave.wait()
    free.set()
    with pytest.raises(NoPodLeft):
        await drafter
    assert not (await slots.reopen_expert(opens())).session.closed
