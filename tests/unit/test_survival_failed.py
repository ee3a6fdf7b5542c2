"""No pod takes a session that was lost: one is looked for once, and the answer is told so."""

import asyncio
from typing import Any, cast

import pytest

from router.discovery import Endpoint
from router.pool import Lease, Pod
from router.pool.breaker import FAILURES, BreakerState
from router.pool.patience import Patience
from router.sessions import DrafterSession, DraftOrder
from router.survival import Opener, SurvivingDrafter, opener
from router.survival.held import Held
from services.errors import NoPodLeft, Overloaded
from tests.unit.test_survival import ANSWER, Lossy, LossyDrafter, Pods, at_once


async def test_one_search_for_a_pod_tells_all_who_wait() -> None:
    """One reads while the other sends; a pod that is back for the second would be told to none."""
    pod = Pod(Endpoint("127.0.0.1:1"))

    class None_(Pods):
        async def reopen(self) -> Held[Any]:
            if self.opened:
                self.opened += 1
                await asyncio.sleep(0)
                raise NoPodLeft("drafter", "gone")
            return await super().reopen()

    pods = None_(LossyDrafter, [1], pod)
    opening = cast(Opener[DrafterSession], pods)
    drafter = SurvivingDrafter(opening, await opening.reopen())
    await drafter.start_draft(DraftOrder(0, ANSWER[:3], 4))
    reading = asyncio.create_task(drafter.piece())
    await asyncio.sleep(0)
    with pytest.raises(NoPodLeft):
        await drafter.start_draft(DraftOrder(3, ANSWER[3:4], 4))
    with pytest.raises(NoPodLeft):
        await reading
    with pytest.raises(NoPodLeft):
        await drafter.piece()
    assert pods.opened == 2, "once, and for one search"
    await pod.channel.close()


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
