"""Which pages of the cache belong to whom: reference counts, shared prefixes, least recently used.

Knows no tensors.  A *page* holds the keys and values of ``PAGE`` tokens.  A page that is full can
be *registered* under what it holds: the page before it, by serial, and its own tokens.  Sessions
that begin with the same tokens then share it, and it stays when the last of them has gone, until
its room is needed.  The tokens themselves are compared, so no prefix is ever taken for another.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PAGE = 16
"""Tokens of a page."""

ROOT = 0
"""The serial of the empty prefix."""

Key = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Registered:
    """A page that can be found by what it holds."""

    page: int
    serial: int
    """Names the whole prefix up to the page's end; never used again."""
    key: Key


class PagePool:
    """A fixed number of pages."""

    def __init__(self, total: int, *, in_rows: bool = True) -> None:
        """All empty.

        Args:
            total: how many.
            in_rows: whether neighbours are read without a copy, and so worth looking for.
        """
        self.total = total
        self._in_rows = in_rows
        self._references = [0] * total
        self._taken = np.zeros(total, dtype=bool)
        self._by_key: dict[Key, Registered] = {}
        self._by_page: dict[int, Registered] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._next_serial = ROOT + 1
        self._empty = total

    @property
    def free(self) -> int:
        """Pages that can be had: empty, or held by nobody and kept only to be found again."""
        return self._empty + len(self._idle)

    def references(self, page: int) -> int:
        """How many hold the page."""
        return self._references[page]

    def take(self, after: int | None = None) -> int | None:
        """A page for one holder, without content; None where there is none.

        Args:
            after: the page that should lie before it.
        """
        if self._empty:
            page = self._neighbour(after)
        elif self._idle:
            page, _ = self._idle.popitem(last=False)
            self.unregister(page)
            self._taken[page] = False
            self._empty += 1
        else:
            return None
        self._taken[page] = True
        self._empty -= 1
        self._references[page] = 1
        return page

    def _neighbour(self, after: int | None) -> int:
        """The empty page behind ``after``, or one with much room behind it; else the first."""
        if not self._in_rows:
            return int(self._taken.argmin())
        if after is not None and after + 1 < self.total and not self._taken[after + 1]:
            return after + 1
        edges = np.flatnonzero(np.diff(self._taken, prepend=True, append=True))
        starts, ends = edges[::2], edges[1::2]
        longest = int((ends - starts).argmax())
        start, end = int(starts[longest]), int(ends[longest])
        # The first half is left to whoever holds the page before it.
        return start if start == 0 else (start + end) // 2

    def hold(self, page: int) -> None:
        """One holder more."""
        self._idle.pop(page, None)
        self._references[page] += 1

    def release(self, page: int) -> None:
        """One holder less.  Without any, a registered page stays until its room is needed."""
        self._references[page] -= 1
        if self._references[page]:
            return
        if page in self._by_page:
            self._idle[page] = None
        else:
            self._taken[page] = False
            self._empty += 1

    def register(self, page: int, before: int, tokens: Sequence[int]) -> int:
        """Lets a full page be found.

        Args:
            page: the page; to be written no more until it is unregistered.
            before: serial of the prefix before it.
            tokens: the PAGE tokens that it holds.

        Returns:
            The serial of the prefix up to its end; where another page holds the same, that one's.
        """
        key = before, tuple(tokens)
        if (there := self._by_key.get(key)) is not None:
            return there.serial
        registered = Registered(page, self._next_serial, key)
        self._next_serial += 1
        self._by_key[key] = self._by_page[page] = registered
        return registered.serial

    def unregister(self, page: int) -> None:
        """The page is found no more."""
        if (registered := self._by_page.pop(page, None)) is not None:
            del self._by_key[registered.key]

    def registered(self, page: int) -> bool:
        """Whether the page can be found."""
        return page in self._by_page

    def find(self, before: int, tokens: Sequence[int]) -> Registered | None:
        """The page that holds ``tokens`` after the prefix of serial ``before``."""
        return self._by_key.get((before, tuple(tokens)))
