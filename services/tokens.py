"""The tokens of a session with a hash of every prefix.

Both ends of a stream keep one: the expert compares the hash that a step names with its own, and so
knows a block that was built on tokens which it does not have (docs/protocol.md, "Stale blocks").
"""

from collections.abc import Iterable

_MASK = (1 << 64) - 1
_WEYL = 0x9E3779B97F4A7C15


def _next_hash(value: int, token: int) -> int:
    """One token more: SplitMix64's finaliser."""
    x = (value + (token + 1) * _WEYL) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def extend_hash(value: int, ids: Iterable[int]) -> int:
    """The hash of a prefix with hash ``value`` after ``ids`` are appended to it."""
    for token in ids:
        value = _next_hash(value, token)
    return value


class TokenSequence:
    """A list of token ids that knows the hash of each of its prefixes."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids: list[int] = []
        self._hashes: list[int] = [0]
        self.extend(ids)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> list[int]:
        """The token ids.  Not to be changed."""
        return self._ids

    def since(self, position: int) -> list[int]:
        """The tokens from ``position`` on."""
        return self._ids[position:]

    def hash(self, length: int | None = None) -> int:
        """Hash of the first ``length`` tokens (all, if None): 64 bits, 0 for none."""
        return self._hashes[len(self._ids) if length is None else length]

    def extend(self, ids: Iterable[int]) -> None:
        """Appends tokens."""
        value = self._hashes[-1]
        for token in ids:
            value = _next_hash(value, token)
            self._ids.append(token)
            self._hashes.append(value)

    def first(self, length: int) -> "TokenSequence":
        """The first ``length`` tokens, to go on otherwise."""
        first = TokenSequence()
        first._ids, first._hashes = self._ids[:length], self._hashes[: length + 1]
        return first

    def truncate(self, length: int) -> None:
        """Keeps the first ``length`` tokens."""
        del self._ids[length:]
        del self._hashes[length + 1 :]
