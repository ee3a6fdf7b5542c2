"""Sessions that lose their pods at any point: the strategies notice nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import pytest
from cascade.v1 import drafter_pb2, expert_pb2, law_pb2
from hypothesis import given
from hypothesis import strategies as st

from router.discovery import Endpoint
from router.pool import Lease, Pod
from router.pool.patience import Patience
from router.sessions import DrafterSession, DraftOrder, ExpertSession
from router.strategies.first import Piece
from router.survival import Opener, SurvivingDrafter, SurvivingExpert
from router.survival.held import Closable, Held
from router.survival.order import Open
from router.survival.silence import Silence
from services.errors import InvalidField, NoPodLeft, PeerLost
from tests.unit.strategy_fakes import END, FakeDrafter, FakeExpert, run, task
from tests.until import until

S = TypeVar("S", bound=Closable)

ANSWER = [7, 8, 9, *range(20, 60), END]
DRAFTS = [token + (i % 4 == 3) for i, token in enumerate(ANSWER)]
"""Every fourth is wrong."""


class Lossy:
    """Loses its pod after so many calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def count(self) -> None:
        if not self.calls:
            raise PeerLost("the pod is gone")
        self.calls -= 1


class LossyDrafter(FakeDrafter):
    """A FakeDrafter that is lost."""

    def __init__(self, lossy: Lossy) -> None:
        super().__init__(DRAFTS, other=ANSWER)
        self.lossy = lossy

    async def start_draft(self, order: DraftOrder) -> int:
        self.lossy.count()
        return await super().start_draft(order)

    async def piece(self) -> Piece:
        self.lossy.count()
        await asyncio.sleep(0)
        return await super().piece()


class LossyExpert(FakeExpert):
    """A FakeExpert that is lost."""

    def __init__(self, lossy: Lossy) -> None:
        super().__init__(ANSWER, bonus=True)
        self.lossy = lossy

    async def start_verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> None:
        self.lossy.count()
        await super().start_verify(position, append, prefix_hash, block)

    async def verdict(self) -> expert_pb2.Verdict:
        self.lossy.count()
        await asyncio.sleep(0)
        return await super().verdict()

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncGenerator[expert_pb2.DecodedTokens, None]:
        async for piece in super().decode(position, append, prefix_hash, max_tokens):
            self.lossy.count()
            yield piece

    def close(self) -> None:
        self.lossy.calls = 0


class Pods:
    """Opens sessions that are lost after the calls of a list, then one that lasts."""

    role = "drafter"

    def __init__(self, make: Callable[[Lossy], Any], losses: Sequence[int], pod: Pod) -> None:
        self.make, self.losses, self.pod = make, list(losses), pod
        self.opened = 0
        self.give_way: Callable[[], None] = lambda: None
        """What a session of the other role does when one is opened here."""

    async def reopen(self) -> Held[Any]:
        self.opened += 1
        self.give_way()
        for _ in range(10):  # others ask for more meanwhile
            await asyncio.sleep(0)
        lossy = Lossy(self.losses.pop(0) if self.losses else 10**9)
        lease = Lease(self.pod, lambda: None, lambda pod: None)
        return Held(self.make(lossy), lease, Patience())


async def at_once(open_anew: Open[S]) -> Held[S]:
    """No other session of the answer waits for a slot."""
    return await open_anew()


# In a row without an answer between a few losses are survived; every answer takes two calls.
LOSSES = st.lists(st.integers(2, 12), max_size=6)


def answer(
    mode: int,
    drafters: Sequence[int],
    experts: Sequence[int],
    *,
    gives_way: bool = False,
    **fields: Any,
) -> tuple[list[int], int]:
    """What a strategy gives, and how many sessions it took.

    ``gives_way``: the expert's session does when a drafter is opened anew.
    """

    async def main() -> tuple[list[int], int]:
        pod = Pod(Endpoint("127.0.0.1:1"))
        pods = [Pods(LossyDrafter, drafters, pod), Pods(LossyExpert, experts, pod)]

        async def open_drafter() -> DrafterSession:
            opener = cast(Opener[DrafterSession], pods[0])
            return SurvivingDrafter(opener, await opener.reopen())

        async def open_expert() -> ExpertSession:
            opener = cast(Opener[ExpertSession], pods[1])
            session = SurvivingExpert(opener, await opener.reopen())
            if gives_way:
                pods[0].give_way = session.give_way
            return session

        undriven = task(mode, FakeDrafter([]), FakeExpert([]), max_tokens=40, **fields)
        driven = replace(undriven, open_drafter=open_drafter, open_expert=open_expert)
        try:
            return await run(driven), sum(one.opened for one in pods)
        finally:
            await pod.channel.close()

    return asyncio.run(main())


@given(LOSSES, LOSSES, st.booleans(), st.integers(0, 3), st.integers(0, 2), st.integers(1, 7))
def test_speculation_notices_nothing(
    drafters: list[int], experts: list[int], gives_way: bool, ahead: int, alternatives: int, n: int
) -> None:
    ids, _ = answer(
        law_pb2.MODE_SPECULATIVE,
        drafters,
        experts,
        gives_way=gives_way,
        draft_ahead=ahead,
        alternatives=alternatives if ahead else 0,
        block_length=n,
    )
    assert ids == ANSWER[3:43]


@given(LOSSES, st.sampled_from([law_pb2.MODE_EXPERT, law_pb2.MODE_DRAFTER]))
def test_one_model_alone_notices_nothing(losses: list[int], mode: int) -> None:
    ids, _ = answer(mode, losses, losses)
    assert ids == (ANSWER if mode == law_pb2.MODE_EXPERT else DRAFTS)[3:43]


def test_the_fakes_are_lost() -> None:
    """The tests above would notice: each loss costs a session."""
    assert answer(law_pb2.MODE_EXPERT, [], [2, 3])[1] == 3
    assert answer(law_pb2.MODE_DRAFTER, [2, 3, 4], [])[1] == 4
    assert answer(law_pb2.MODE_SPECULATIVE, [2, 3], [], gives_way=True)[1] > 4


def test_too_many_losses_in_a_row_end_the_answer() -> None:
    with pytest.raises(NoPodLeft):
        answer(law_pb2.MODE_DRAFTER, [2] + [0] * 20, [])


async def test_a_callers_mistake_is_no_loss() -> None:
    class Refusing(LossyDrafter):
        async def piece(self) -> Piece:
            raise InvalidField(("append", "bad"))

    pod = Pod(Endpoint("127.0.0.1:1"))
    pods = Pods(Refusing, [], pod)
    opener = cast(Opener[DrafterSession], pods)
    drafter = SurvivingDrafter(opener, await opener.reopen())
    await drafter.start_draft(DraftOrder(0, [7, 8, 9], 4))
    with pytest.raises(InvalidField):
        await drafter.piece()
    assert pods.opened == 1
    await pod.channel.close()


async def test_what_a_superseded_draft_appends_is_sent_again() -> None:
    """A pod may not have begun it; only a piece tells that it has the tokens before it."""
    orders: list[DraftOrder] = []

    class Recording(LossyDrafter):
        async def start_draft(self, order: DraftOrder) -> int:
            orders.append(order)
            return await super().start_draft(order)

    pod = Pod(Endpoint("127.0.0.1:1"))
    opener = cast(Opener[DrafterSession], Pods(Recording, [], pod))
    drafter = SurvivingDrafter(opener, await opener.reopen())
    await drafter.start_draft(DraftOrder(0, ANSWER[:3], 4))
    await drafter.start_draft(DraftOrder(3, ANSWER[3:4], 4))
    await drafter.piece()
    await drafter.start_draft(DraftOrder(4, [8, 9], 4))
    asked = [(order.position, list(order.append)) for order in orders]
    assert asked == [(0, ANSWER[:3]), (0, ANSWER[:4]), (4, [8, 9])]
    await pod.channel.close()


async def test_a_draft_goes_on_behind_what_was_handed_out() -> None:
    """Two pieces of one token, then a loss: the rest is asked for, nothing comes twice."""
    made: list[LossyDrafter] = []

    def make(lossy: Lossy) -> LossyDrafter:
        made.append(LossyDrafter(lossy))
        return made[-1]

    pod = Pod(Endpoint("127.0.0.1:1"))
    opener = cast(Opener[DrafterSession], Pods(make, [3], pod))
    drafter = SurvivingDrafter(opener, await opener.reopen())
    step = await drafter.start_draft(DraftOrder(0, ANSWER[:3], 5, piece_length=1))
    pieces = [await drafter.piece() for _ in range(5)]
    blocks = [piece for piece in pieces if isinstance(piece, drafter_pb2.DraftedBlock)]
    assert [token.id for block in blocks for token in block.tokens] == DRAFTS[3:8]
    assert [block.last for block in blocks] == [False] * 4 + [True]
    assert {block.step_id for block in blocks} == {step}
    assert [one.asked for one in made] == [[(3, 5)], [(5, 3)]]
    await pod.channel.close()


async def test_a_wait_is_no_silence_while_the_pod_answers() -> None:
    asked, given_up = list[bool](), list[int]()
    done = asyncio.Event()

    async def answers() -> bool:
        asked.append(len(asked) < 3)
        if not asked[-1]:
            done.set()
        return asked[-1]

    silence = Silence(lambda: 0.01, answers, lambda: given_up.append(len(asked)))
    with silence:
        await done.wait()
        await until(lambda: bool(given_up), every_s=0)
    assert asked == [True, True, True, False]
    assert given_up == [4]
    silence.close()


async def test_short_waits_are_no_silence_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], list[bool]()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])

    async def answers() -> bool:
        asked.append(True)
        return True

    async def turns() -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    silence = Silence(lambda: 1.0, answers, lambda: None)
    for _ in range(20):
        with silence:
            now[0] += 0.9
            await turns()
        now[0] += 0.3
    assert not asked
    await turns()  # nobody waits: the timer is not set again
    with silence:
        now[0] += 1.1
        await turns()
    assert asked
    silence.close()


@pytest.mark.parametrize("turns", range(5))
async def test_a_session_that_is_opened_for_nobody_is_closed(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller is cancelled in the moment in which it is there."""
    there, opened = asyncio.Event(), []
    timers = list[asyncio.TimerHandle]()
    call_at = asyncio.get_running_loop().call_at

    def recording(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        timers.append(call_at(*args, **kwargs))
        return timers[-1]

    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", recording)

    class Session:
        closed = False

        def close(self) -> None:
            self.closed = True

    async def open_session(channel: object, timeout_s: float | None) -> Session:
        await there.wait()
        opened.append(Session())
        return opened[0]

    class OnePool:
        role, patience = "drafter", Patience()
        pod = Pod(Endpoint("127.0.0.1:1"))

        def lease(self, *args: object) -> Lease:
            return Lease(self.pod, lambda: None, lambda pod: None)

    opener: Opener[Session] = Opener(
        cast(Any, OnePool()), open_session, [1], 2, lambda: None, lambda: None, at_once
    )
    opening = asyncio.create_task(opener.open())
    for _ in range(5):
        await asyncio.sleep(0)
    there.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    for _ in range(5):
        await asyncio.sleep(0)
    if opening.cancelled():
        assert all(session.closed for session in opened)
    else:
        opening.result().close()
    assert not OnePool.pod.sessions
    assert timers
    assert all(timer.cancelled() for timer in timers), "one that is left holds what it watched"


@pytest.mark.parametrize("begun", [False, True])
async def test_an_answer_that_has_begun_waits_for_a_pod(begun: bool) -> None:
    """All pods are gone for a moment."""

    class Session:
        def close(self) -> None:
            pass

    async def open_session(channel: object, timeout_s: float | None) -> Session:
        return Session()

    class BackSoon:
        role, patience = "drafter", Patience()
        pod = Pod(Endpoint("127.0.0.1:1"))
        asked = 0

        def lease(self, *args: object) -> Lease | None:
            self.asked += 1
            if self.asked < 3:
                return None
            return Lease(self.pod, lambda: None, lambda pod: None)

    pool, failovers = BackSoon(), list[int]()
    opener: Opener[Session] = Opener(
        cast(Any, pool), open_session, [1], 2, lambda: None, lambda: failovers.append(1), at_once
    )
    if begun:
        (await opener.open(patiently=True)).close()
        assert pool.asked == 3
    else:
        with pytest.raises(NoPodLeft):
            await opener.open()
        assert pool.asked == 1
    assert not failovers, "none was lost"
    await pool.pod.channel.close()
