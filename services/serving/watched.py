"""A value made of files, made anew when they change."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

_Stamp = tuple[tuple[int, ...], ...]


class Watched(Generic[T]):
    """Looks at the files whenever it is asked.  Thread-safe.

    What can't be read after a change, such as half a pair that is being replaced, leaves the value
    as it was: a log line says so, and the next change is tried again.
    """

    def __init__(self, paths: Sequence[str], load: Callable[[], T]) -> None:
        """Loads once.

        Raises:
            Exception: what ``load`` raises.
        """
        self._paths = [Path(path) for path in paths]
        self._load = load
        self._lock = threading.Lock()
        self._tried: _Stamp | None = self._stamp()
        self._value = load()

    def current(self) -> T:
        """The value of the files as they are; the same object as long as they do not change."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._tried:
                self._tried = stamp
                self._renew(stamp)
            return self._value

    def _renew(self, stamp: _Stamp) -> None:
        try:
            value = self._load()
        except (ValueError, OSError) as error:
            log.warning("files changed and can't be used, the old ones stay", why=str(error))
            return
        if self._stamp() != stamp:  # written while they were read
            self._tried = None
            return
        self._value = value
        log.info("files changed", files=[str(path) for path in self._paths])

    def _stamp(self) -> _Stamp:
        """Another one after every change.  Links are followed: a mounted secret is links."""
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    # The last changes with the rights to it, too.
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns)
