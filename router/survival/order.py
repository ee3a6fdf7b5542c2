"""In which order an answer waits for slots: for the drafter's, then for the expert's.

An answer that kept its expert's slot while it waits for a drafter's, and another one that does the
opposite, would wait for each other for ever.  So where a drafter is lost and no other has a slot
soon, the expert's session gives its own back, and opens anew once the drafter's has.
"""

import asyncio
from collections.abc import Awaitable, Callable

from router.survival.held import Held, S

_SOON_S = 1.0
"""An expert's slot is kept for so long: what it holds of the answer would have to be seen anew."""

Open = Callable[[], Awaitable[Held[S]]]
"""Opens a session in place of one that was lost, however long its slot takes."""


class SlotOrder:
    """Of one answer."""

    def __init__(self) -> None:
        """The expert has no slot yet that it could give back."""
        self.give_way: Callable[[], None] = lambda: None
        """Has the expert's session give its slot back."""
        self._expert_may = asyncio.Event()
        self._expert_may.set()

    async def reopen_drafter(self, open_anew: Open[S]) -> Held[S]:
        """Without the expert's slot, where it takes long."""
        try:
            async with asyncio.timeout(_SOON_S):
                return await open_anew()
        except TimeoutError:
            self._expert_may.clear()
            self.give_way()
            try:
                return await open_anew()
            finally:
                self._expert_may.set()

    async def reopen_expert(self, open_anew: Open[S]) -> Held[S]:
        """Not while a drafter's slot is waited for."""
        while True:
            await self._expert_may.wait()
            held = await open_anew()
            if self._expert_may.is_set():
                return held
            held.close()
