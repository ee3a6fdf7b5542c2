"""The addresses of names, such as a headless Service's, looked up again and again."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import structlog

from router.discovery.base import Discovery, Endpoint, View

log = structlog.get_logger()

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The IP addresses of a name, for a port.

Raises:
    OSError: nobody knows it, or nobody answers.
"""

_LEAST_S = 0.2
"""Between two looks, however many pods fail."""


async def resolve(host: str, port: int) -> list[str]:
    """Asks the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class DnsDiscovery(Discovery):
    """The pods behind names.  A look that fails changes nothing: the pool knows who answers."""

    def __init__(self, targets: Sequence[str], every_s: float, resolve: Resolve = resolve) -> None:
        """Looks up nothing yet.

        Args:
            targets: host:port each.
            every_s: seconds between two looks.
            resolve: looks a name up.
        """
        self._targets = targets
        self._every_s = every_s
        self._resolve = resolve
        self._again = asyncio.Event()

    async def views(self) -> AsyncGenerator[View, None]:
        """See Discovery."""
        last: dict[str, list[str]] = {}
        shown: View | None = None
        while True:
            self._again.clear()
            for target in self._targets:
                host, _, port = target.rpartition(":")
                try:
                    found = await self._resolve(host.strip("[]"), int(port))
                except OSError as error:
                    log.warning("lookup failed", name=host, text=str(error))
                    continue
                last[target] = [_joined(address, port) for address in found]
            view = {a: Endpoint(a) for addresses in last.values() for a in addresses}
            if view != shown:
                shown = view
                yield view
            await asyncio.sleep(min(_LEAST_S, self._every_s))
            try:
                async with asyncio.timeout(self._every_s):
                    await self._again.wait()
            except TimeoutError:
                pass

    def look_again(self) -> None:
        """See Discovery."""
        self._again.set()


def _joined(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
