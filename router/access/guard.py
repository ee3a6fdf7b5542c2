"""Lets a call in: its key is known, the key's limits allow it, the router has room for it."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from router.access.allowance import Allowance
from router.access.keys import ApiKey, find
from router.metrics import RouterMetrics
from services.errors import EngineFailed, Overloaded, PeerLost, Unauthenticated
from services.serving.slots import Slots
from services.serving.watched import Watched

_HEADER = "authorization"
_SCHEME = "bearer"

Metadata = Sequence[tuple[str, str | bytes]]

ANYBODY = ApiKey(name="", sha256="0" * 64)
"""Who calls where there are no keys."""


@dataclass
class Caller:
    """Who calls."""

    name: str
    """Of the key.  Empty where there are no keys."""
    allowance: Allowance
    metrics: RouterMetrics
    waited_s: float = 0.0
    """For its place."""

    @contextmanager
    def prompt(self, tokens: int, began: Callable[[], bool]) -> Iterator[None]:
        """Charges a prompt, and answers it in the block.

        One whose answer fails before it has begun, by no fault of the caller's, costs nothing.

        Args:
            tokens: of the prompt.
            began: whether the answer has.

        Raises:
            InvalidField: it is more than the key has in a minute.
            Overloaded: the key has too few tokens left.
        """
        self.allowance.prompt(tokens)
        charged = tokens
        try:
            yield
        except (Overloaded, PeerLost, EngineFailed):
            if not began():
                self.allowance.give_back(tokens)
                charged = 0
            raise
        finally:
            self.metrics.used(self.name, charged)

    def delivered(self, tokens: int) -> None:
        """Charges tokens of the answer."""
        self.allowance.delivered(tokens)
        self.metrics.used(self.name, tokens)


class Guard:
    """All calls of a router."""

    def __init__(
        self, slots: Slots, keys: Watched[tuple[ApiKey, ...]] | None, metrics: RouterMetrics
    ) -> None:
        """``keys``: None lets everybody in."""
        self._slots = slots
        self._metrics = metrics
        self._keys = keys
        self._known: tuple[ApiKey, ...] | None = None
        self._allowances = {"": Allowance(ANYBODY)}

    @asynccontextmanager
    async def admit(self, metadata: Metadata) -> AsyncIterator[Caller]:
        """Holds a place for the call while the block runs; waits for it, in turn.

        Raises:
            Unauthenticated: no key, or one that is not known.
            Overloaded: the key's limits are reached, or too many calls wait.
        """
        caller = self.identify(metadata)
        with self._metrics.asked(caller.name), caller.allowance.session():
            async with self._slots.hold() as waited_s:
                caller.waited_s = waited_s
                yield caller

    def identify(self, metadata: Metadata) -> Caller:
        """Whose key a call brings.

        Raises:
            Unauthenticated: no key, or one that is not known.
        """
        if self._keys is None:
            return self._caller("")
        keys = self._keys.current()
        if keys is not self._known:
            self._renew(keys)
        entry = find(_bearer(metadata), keys)
        if entry is None:
            raise Unauthenticated("the API key is not known")
        return self._caller(entry.name)

    def _caller(self, name: str) -> Caller:
        return Caller(name, self._allowances[name], self._metrics)

    def _renew(self, keys: tuple[ApiKey, ...]) -> None:
        """What is used so far stays with the name."""
        for key in keys:
            if allowance := self._allowances.get(key.name):
                allowance.renew(key)
            else:
                self._allowances[key.name] = Allowance(key)
        self._known = keys


def _bearer(metadata: Metadata) -> str:
    """The key that a call brings.

    Raises:
        Unauthenticated: it brings none.
    """
    values = [value for name, value in metadata if name == _HEADER]
    if not values:
        raise Unauthenticated("an API key is needed: send metadata `authorization: Bearer KEY`")
    scheme, _, key = str(values[0]).partition(" ")
    if len(values) > 1 or scheme.lower() != _SCHEME or not key.strip():
        raise Unauthenticated("metadata `authorization` must be `Bearer KEY`, once")
    return key.strip()
