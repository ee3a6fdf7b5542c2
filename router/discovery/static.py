"""A list of addresses that never changes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from router.discovery.base import Discovery, Endpoint, View


class StaticDiscovery(Discovery):
    """The pods that the settings name."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """``addresses``: host:port each."""
        self._view = {address: Endpoint(address) for address in addresses}

    async def views(self) -> AsyncGenerator[View, None]:
        """See Discovery: one view."""
        yield self._view
        await asyncio.Event().wait()

    def look_again(self) -> None:
        """See Discovery: nothing changes."""
