"""No pod takes a session that was lost: one is looked for once, and the answer is told so."""

import asyncio
from typing import Any, cast

import pytest
from cascade.v1 import drafter_pb2, model_pb2

from router.discovery import Endpoint
from router.pool import Lease, Pod
from router.pool.breaker import FAILURES, BreakerState
from router.pool.patience import Patience
from router.sessions import DrafterSession, DraftOrder
from router.survival import Opener, SurvivingDrafter, opener
from router.survival.held import Held
from services.errors import EngineFailed, NoPodLeft, Overloaded
from tests.unit.test_survival import ANSWER, DRAFTS, Lossy, LossyDrafter, Pods, at_once
from tests.until import until


class NonePods(Pods):
    """One session, and then no pod, which takes a while to find out."""

    async def reopen(self) -> Held[Any]:
        if not self.opened:
            return await super().reopen()
        self.opened += 1
        for _ in range(10):
            await asyncio.sleep(0)
        raise NoPodLeft("drafter", "gone")


async def a_drafter(pods: Pods) -> SurvivingDrafter:
    opening = cast(Opener[DrafterSession], pods)
    return SurvivingDrafter(opening, await opening.reopen())


async def test_one_search_for_a_pod_tells_all() -> None:
    """A pod that is back for a second one would be told to nobody."""
    pods = NonePods(LossyDrafter, [1], Pod(Endpoint("127.0.0.1:1")))
    drafter = await a_drafter(pods)
    await drafter.start_draft(DraftOrder(0, ANSWER[:3], 4))
    readers = [asyncio.create_task(drafter.piece()) for _ in range(2)]
    found = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(error) for error in found] == [NoPodLeft, NoPodLeft]
    with pytest.raises(NoPodLeft):
        await drafter.start_draft(DraftOrder(3, ANSWER[3:4], 4))
    assert pods.opened == 2, "once, and for one search"
    await pods.pod.channel.close()


class Slow(LossyDrafter):
    """Its messages take a while to go through."""

    async def start_draft(self, order: DraftOrder) -> int:
        step = await super().start_draft(order)
        for _ in range(5):
            await asyncio.sleep(0)
        return step


@pytest.mark.parametrize("turns", range(24))
async def test_a_draft_does_not_wait_for_a_pod(turns: int) -> None:
    """Whoever waits for its pieces does; the newest is what is asked for, whenever it came."""
    made: list[Slow] = []

    def make(lossy: Lossy) -> Slow:
        made.append(Slow(lossy))
        return made[-1]

    pods = Pods(make, [1], Pod(Endpoint("127.0.0.1:1")))
    drafter = await a_drafter(pods)
    await drafter.start_draft(DraftOrder(0, ANSWER[:3], 4))
    reading = asyncio.create_task(drafter.piece())
    for _ in range(turns):
        await asyncio.sleep(0)
    opened = pods.opened
    newest = await drafter.start_draft(DraftOrder(3, ANSWER[3:5], 2))
    assert pods.opened == opened, "it has not waited"
    pieces = [await reading]
    while pieces[-1].step_id != newest:
        pieces.append(await drafter.piece())
    assert isinstance(pieces[-1], drafter_pb2.DraftedBlock)
    assert [token.id for token in pieces[-1].tokens] == DRAFTS[5:7]
    assert made[-1].tokens == [*ANSWER[:5], *DRAFTS[5:7]]
    await pods.pod.channel.close()


class OnePool:
    """Of one pod."""

    role = "drafter"

    def __init__(self) -> None:
        self.patience, self.pod = Patience(), Pod(Endpoint("127.0.0.1:1"))

    def lease(self, prompt: object, length: object, tried: set[Pod]) -> Lease | None:
        return None if tried else Lease(self.pod, lambda: None, lambda pod: None)


def opener_of(pool: OnePool, open_session: Any) -> Opener[Any]:
    return Opener(
        cast(Any, pool), open_session, [1], 2, lambda: None, lambda: None, in_order=at_once
    )


async def test_an_answer_that_has_begun_goes_on_without_a_pod_that_has_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opener, "_FIRST_S", 0.001)

    async def full(channel: object, timeout_s: float | None) -> Any:
        raise Overloaded("no slot, and the queue is full")

    pool = OnePool()
    with pytest.raises(Overloaded):
        await opener_of(pool, full).open()
    with pytest.raises(NoPodLeft, match="no drafter is left: no slot, and the queue is full"):
        await opener_of(pool, full).reopen()
    await pool.pod.channel.close()


async def test_a_pod_that_was_left_alone_is_there_for_all_once_a_session_is_open() -> None:
    """Its first answer may be long in coming: the expert's slot comes first."""

    async def opens(channel: object, timeout_s: float | None) -> LossyDrafter:
        return LossyDrafter(Lossy(0))

    pool = OnePool()
    breaker, states = pool.pod.breaker, list[BreakerState]()
    for _ in range(FAILURES):
        breaker.failed(breaker.began())
    states.append(breaker.state)
    held = await opener_of(pool, opens).open()
    states.append(breaker.state)
    held.lost()
    states.append(breaker.state)  # by one more failure in a row
    assert states == [BreakerState.OPEN, BreakerState.CLOSED, BreakerState.OPEN]
    await pool.pod.channel.close()


async def test_a_pod_that_was_left_alone_is_there_for_all_while_a_session_waits_in_its_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others of other routers may hold its slots for minutes."""
    slot = asyncio.Event()

    async def opens(channel: object, timeout_s: float | None) -> LossyDrafter:
        await slot.wait()
        return LossyDrafter(Lossy(0))

    async def answers() -> bool:
        return True

    pool = OnePool()
    breaker = pool.pod.breaker
    monkeypatch.setattr(pool.pod, "probe", answers)
    monkeypatch.setattr(pool.patience, "limit_s", lambda: 0.01)
    for _ in range(FAILURES):
        breaker.failed(breaker.began())
    opening = asyncio.create_task(opener_of(pool, opens).open())
    await asyncio.sleep(0)
    assert breaker.state is BreakerState.TRIED
    await until(lambda: breaker.state is BreakerState.CLOSED)
    assert not opening.done()
    slot.set()
    (await opening).close()
    await pool.pod.channel.close()


async def test_a_pod_on_which_a_step_failed_is_known_by_it() -> None:
    """Its slots are free again at once, which would draw all that come."""

    async def opens(channel: object, timeout_s: float | None) -> LossyDrafter:
        return LossyDrafter(Lossy(0))

    async def fails() -> None:
        raise EngineFailed("drafter: INTERNAL: forward pass failed: OutOfMemoryError")

    pool = OnePool()
    pool.pod.info = model_pb2.GetModelInfoResponse(slots_total=2, slots_free=2)
    held = await opener_of(pool, opens).open()
    assert not pool.pod.load.failing
    with pytest.raises(EngineFailed):
        await held.wait(fails())
    assert pool.pod.load.failing
    held.close()
    await pool.pod.channel.close()
