"""No pod of a role is left: what was decided counts, and the other model goes on behind it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

from cascade.v1 import expert_pb2, law_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from router.loss import outlive_losses
from router.sessions import DrafterSession, DraftOrder, ExpertSession
from router.strategies.first import Piece
from router.strategies.speculative import speculate
from services.errors import NoPodLeft
from tests.unit.strategy_fakes import FakeDrafter, FakeExpert, task
from tests.unit.test_survival import ANSWER, DRAFTS


class GoneDrafter(FakeDrafter):
    """One whose pods are all lost after so many calls: it is asked nothing then."""

    def __init__(self, calls: int, delays: Sequence[int]) -> None:
        super().__init__(DRAFTS, other=ANSWER, delays=cycle(delays or [0]))
        self.calls, self.gone = calls, False

    def _count(self) -> None:
        assert not self.gone, "looking for pods again would take a while"
        if not self.calls:
            self.gone = True
            raise NoPodLeft("drafter", "gone")
        self.calls -= 1

    async def start_draft(self, order: DraftOrder) -> int:
        self._count()
        return await super().start_draft(order)

    async def piece(self) -> Piece:
        self._count()
        return await super().piece()


class TellingExpert(FakeExpert):
    """Notes what it has told, and where it goes on alone."""

    def __init__(self, delays: Sequence[int], sends: int = 10**9) -> None:
        """``sends``: blocks that it takes before its pods are all lost."""
        super().__init__(ANSWER, bonus=True, delays=cycle(delays or [0]))
        self.told = list(ANSWER[:3])
        self.sends = sends

    async def start_verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> None:
        if not self.sends:
            raise NoPodLeft("expert", "gone")
        self.sends -= 1
        await super().start_verify(position, append, prefix_hash, block)

    async def verdict(self) -> expert_pb2.Verdict:
        verdict = await super().verdict()
        self.told += [token.id for token in verdict.tokens]
        return verdict


DELAYS = st.lists(st.sampled_from([0, 1, 5, 30]), max_size=4)


@given(st.integers(0, 40), DELAYS, DELAYS, st.integers(0, 3), st.integers(0, 2), st.integers(1, 7))
def test_without_a_drafter_all_that_was_decided_is_told(
    calls: int, drafting: list[int], verifying: list[int], ahead: int, alternatives: int, n: int
) -> None:
    """The expert goes on behind it: nothing is decided a second time, with other noise."""

    async def main() -> None:
        drafter, expert = GoneDrafter(calls, drafting), TellingExpert(verifying)
        alone = TellingExpert(())
        made = task(
            law_pb2.MODE_SPECULATIVE,
            drafter,
            expert,
            max_tokens=40,
            block_length=n,
            draft_ahead=ahead,
            alternatives=alternatives if ahead else 0,
        )
        made = replace(made, request=replace(made.request, outlives_drafter=True))
        before: list[int] = []

        async def open_drafter(law: law_pb2.Law) -> DrafterSession:
            raise AssertionError("there is none")

        async def open_expert(law: law_pb2.Law) -> ExpertSession:
            before.extend(out)
            return alone

        out = list(ANSWER[:3])
        emitting = outlive_losses(made, speculate, lambda: None, open_drafter, open_expert)
        async for emitted in emitting:
            out += [token.id for token in emitted]
        assert out == ANSWER[:43]
        if before:
            assert before == expert.told
        else:
            assert out == expert.told[:43]

    asyncio.run(main())


@settings(max_examples=500)
@given(st.integers(0, 20), DELAYS, DELAYS, st.integers(0, 3), st.integers(0, 2), st.integers(1, 7))
def test_without_an_expert_all_that_was_decided_is_told(
    sends: int, drafting: list[int], verifying: list[int], ahead: int, alternatives: int, n: int
) -> None:
    async def main() -> None:
        expert = TellingExpert(verifying, sends)
        made = task(
            law_pb2.MODE_SPECULATIVE,
            GoneDrafter(10**9, drafting),
            expert,
            max_tokens=40,
            block_length=n,
            draft_ahead=ahead,
            alternatives=alternatives if ahead else 0,
        )
        out = list(ANSWER[:3])
        try:
            async for emitted in speculate(made):
                out += [token.id for token in emitted]
        except NoPodLeft:
            assert not expert.sends
        assert out == expert.told[:43]

    asyncio.run(main())
