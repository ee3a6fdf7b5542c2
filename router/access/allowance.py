"""What a key may use: sessions at once, and tokens a minute from a bucket that refills."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from router.access.keys import ApiKey
from services.errors import InvalidField, Overloaded

_MINUTE_S = 60.0
_ROUNDING = 1e-6
"""Of a token: who has waited as long as told is let in."""


class Allowance:
    """One key's use.  Lives on when the file changes; its limits are those of the file.

    The bucket holds a minute's tokens.  A prompt is taken out of it as a whole, and must fit; the
    answer's tokens as they are delivered.  An answer that takes more than there is goes on, and
    the next one waits until that is made up for.
    """

    def __init__(self, key: ApiKey, now: Callable[[], float] = time.monotonic) -> None:
        """``now``: seconds."""
        self._key = key
        self._now = now
        self._sessions = 0
        self._level = float(key.tokens_per_minute or 0)
        self._filled_at = now()

    def renew(self, key: ApiKey) -> None:
        """Takes the limits of a newer file; a limit that was not there begins with a full
        bucket."""
        if key.tokens_per_minute != self._key.tokens_per_minute:
            self._fill()
            before, after = self._key.tokens_per_minute, float(key.tokens_per_minute or 0)
            self._level = after if before is None else min(self._level, after)
        self._key = key

    @contextmanager
    def session(self) -> Iterator[None]:
        """Holds one of the sessions.

        Raises:
            Overloaded: all are held, or the bucket is empty.
        """
        most = self._key.max_sessions
        if most is not None and self._sessions >= most:
            raise Overloaded(f"key {self._key.name}: all {most} sessions are in use")
        self._check_room(1)
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1

    def prompt(self, tokens: int) -> None:
        """Takes a prompt out of the bucket.

        Raises:
            InvalidField: it is more than a minute's tokens.
            Overloaded: it does not fit yet; with the time until it does.
        """
        limit = self._key.tokens_per_minute
        if limit is not None and tokens > limit:
            raise InvalidField(
                (
                    "prompt",
                    f"must have at most the {limit} tokens a minute of key {self._key.name}, "
                    f"got {tokens}",
                )
            )
        self._check_room(tokens)
        self.delivered(tokens)

    def give_back(self, tokens: int) -> None:
        """Puts a prompt back that nothing came of."""
        self.delivered(-tokens)

    def delivered(self, tokens: int) -> None:
        """Takes tokens of an answer out of the bucket, which may leave less than none."""
        self._fill()
        self._level = min(self._level - tokens, float(self._key.tokens_per_minute or 0))

    def _check_room(self, tokens: int) -> None:
        limit = self._key.tokens_per_minute
        if limit is None:
            return
        self._fill()
        missing = tokens - self._level
        if missing > _ROUNDING:
            wait_s = math.ceil(missing * _MINUTE_S / limit * 1000) / 1000
            raise Overloaded(
                f"key {self._key.name}: its {limit} tokens a minute are used up", wait_s
            )

    def _fill(self) -> None:
        now, limit = self._now(), self._key.tokens_per_minute
        if limit is not None:
            passed = (now - self._filled_at) * limit / _MINUTE_S
            self._level = min(float(limit), self._level + passed)
        self._filled_at = now
