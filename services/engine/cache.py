"""The key-value cache of a pod: one room in pages for all its sessions, and a session's part of it.

The only place that knows how much of a session the model has seen.  transformers' own paged cache
masks every session's queries against every other's keys in one product, which on the CPU costs more
than all the rest of a pass; and none of its caches takes back single tokens (docs/architecture.md).
"""

from collections import Counter
from collections.abc import Sequence

import torch

from services.engine.pages import PAGE, ROOT, PagePool


class KeyValueCache:
    """Keys and values of ``pages`` pages in every layer, and who holds which."""

    def __init__(
        self,
        layers: int,
        heads: int,
        size: int,
        pages: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """``heads`` and ``size``: of the keys.  The system gives memory as pages are first used."""
        shape = ((pages + 1) * PAGE, heads, size)
        # Calls that sessions share read what lies behind a session's end: it has no weight, but
        # must be a number.  On the CPU they share none, and memory is taken as it is first used.
        make = torch.empty if device.type == "cpu" else torch.zeros
        self.keys = [make(shape, dtype=dtype, device=device) for _ in range(layers)]
        """Of each layer: [tokens, heads, size]."""
        self.values = [make(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.scratch = pages * PAGE
        """Where what pads a pass is written: a page that is nobody's."""
        self.pool = PagePool(pages, in_rows=device.type == "cpu")
        self.shares = True
        """Whether sessions find what others have left."""
        self.queried_tokens = 0
        """Tokens that sessions without any began with."""
        self.found_tokens = 0
        """Those of them that other sessions had left there."""
        self.preemptions = 0
        """How often a session gave its pages to another."""

    @property
    def tokens(self) -> int:
        """How many tokens it holds."""
        return self.pool.total * PAGE

    @property
    def used(self) -> float:
        """Share of the pages that sessions hold."""
        return 1 - self.pool.free / self.pool.total

    def copy(self, source: int, target: int) -> None:
        """Copies a page."""
        for layer in (*self.keys, *self.values):
            pages = layer.view(-1, PAGE, *layer.shape[1:])
            pages[target] = pages[source]


class Slot:
    """One session's part of a cache: the pages of the tokens that the model has seen."""

    def __init__(self, cache: KeyValueCache) -> None:
        self._cache = cache
        self.tokens: list[int] = []
        """The tokens that the model has seen.  Not to be changed."""
        self.pages: list[int] = []
        """In order; the last may have room.  Not to be changed."""
        self._serials: list[int] = []

    @property
    def length(self) -> int:
        """Tokens that the model has seen."""
        return len(self.tokens)

    def truncate(self, length: int) -> None:
        """Rolls back to the first ``length`` tokens; does nothing where there are no more."""
        del self.tokens[length:]
        self._keep_pages(-(-len(self.tokens) // PAGE))

    def _keep_pages(self, count: int) -> None:
        # The last first: the beginning of a prefix is the most worth keeping.
        while len(self.pages) > count:
            self._cache.pool.release(self.pages.pop())
        del self._serials[len(self.tokens) // PAGE :]

    def fork(self, length: int) -> "Slot":
        """One that holds the same of the first ``length`` tokens, to go on otherwise.

        Where there is no page for a copy of the last one that is needed, it holds less.
        """
        fork, length = Slot(self._cache), min(length, self.length)
        whole = length // PAGE
        fork.pages, fork._serials = self.pages[:whole], self._serials[:whole]
        for page in fork.pages:
            self._cache.pool.hold(page)
        if length % PAGE:
            copy = self._cache.pool.take()
            if copy is None:
                length = whole * PAGE
            else:
                self._cache.copy(self.pages[whole], copy)
                fork.pages.append(copy)
        fork.tokens = self.tokens[:length]
        return fork

    def give_way(self) -> None:
        """Leaves its pages to others: the model sees its tokens anew."""
        self._cache.preemptions += 1
        self.truncate(0)

    def adopt(self, tokens: Sequence[int]) -> int:
        """In an empty slot: takes what is there of ``tokens``, whole pages of it.

        Returns:
            How many of the tokens the slot holds now.
        """
        assert not self.tokens, "a slot that is not empty has tokens of its own"
        if not self._cache.shares:
            return 0
        pool, serial = self._cache.pool, ROOT
        self._cache.queried_tokens += len(tokens)
        for start in range(0, len(tokens) - PAGE + 1, PAGE):
            found = pool.find(serial, tokens[start : start + PAGE])
            if found is None:
                break
            serial = found.serial
            pool.hold(found.page)
            self.pages.append(found.page)
            self._serials.append(serial)
        self.tokens.extend(tokens[: len(self.pages) * PAGE])
        self._cache.found_tokens += len(self.tokens)
        return len(self.tokens)

    def missing(self, count: int, without: "Sequence[Slot]" = ()) -> int:
        """How many of the pages that ``count`` tokens more take are not free; not positive: none.

        Args:
            count: of tokens.
            without: as if these had given way.
        """
        pool, length = self._cache.pool, len(self.tokens)
        # Every session asks before each of its passes, nearly always without anybody.
        given = Counter(page for slot in without for page in slot.pages) if without else {}
        freed = sum(pool.references(page) == holders for page, holders in given.items())
        copied = 0
        if length % PAGE:
            last = self.pages[length // PAGE]
            copied = pool.references(last) - given.get(last, 0) > 1
        return -(-(length + count) // PAGE) - len(self.pages) + copied - pool.free - freed

    def reserve(self, count: int) -> bool:
        """Makes room for ``count`` tokens more; False where there is none, and nothing changes."""
        if self.missing(count) > 0:
            return False
        if len(self.tokens) % PAGE:
            self._own_last()
        while len(self.pages) * PAGE < len(self.tokens) + count:
            page = self._cache.pool.take(self.pages[-1] if self.pages else None)
            assert page is not None, "as many are free"
            self.pages.append(page)
        return True

    def _own_last(self) -> None:
        """Makes the last page, which has room, one that nobody else reads."""
        pool, index = self._cache.pool, len(self.tokens) // PAGE
        page = self.pages[index]
        if pool.references(page) > 1:
            copy = pool.take()
            assert copy is not None, "there is a free one"
            self._cache.copy(page, copy)
            pool.release(page)
            self.pages[index] = copy
        else:
            pool.unregister(page)

    def extend(self, tokens: Sequence[int]) -> None:
        """The model has seen ``tokens``, for which there was room."""
        self.tokens.extend(tokens)

    def share(self) -> None:
        """Lets other sessions find the pages that are full."""
        if not self._cache.shares:
            return
        pool = self._cache.pool
        for index in range(len(self._serials), len(self.tokens) // PAGE):
            before = self._serials[-1] if self._serials else ROOT
            held = self.tokens[index * PAGE : (index + 1) * PAGE]
            self._serials.append(pool.register(self.pages[index], before, held))
