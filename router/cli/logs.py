"""``cascade logs``: what the services have written."""

import time
from collections import deque
from pathlib import Path

from rich.console import Console
from rich.text import Text

from router.cli.errors import INTERRUPTED, NotRunning
from router.cli.state import ROLES, StateStore
from router.cli.terminal import plain_console, styled, visible

_POLL_S = 0.2
_STYLES = dict(zip(ROLES, ("green", "blue", "magenta"), strict=True))


class Tail:
    """Reads a growing file: its last lines, then what is added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._rest = b""

    def last(self, count: int) -> list[str]:
        """The last ``count`` whole lines."""
        return list(deque(self.new(), maxlen=count))

    def new(self) -> list[str]:
        """The whole lines since the last call; all of them where the file was begun anew."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._position:
                    self._position, self._rest = 0, b""
                file.seek(self._position)
                added = file.read()
        except FileNotFoundError:
            return []
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return [_shown(line.decode(errors="replace")) for line in lines]


def _shown(line: str) -> str:
    """What a terminal would be left with: a progress bar's last state."""
    return line.rstrip("\r").rpartition("\r")[2]


def logs(role: str | None, *, follow: bool, lines: int) -> int:
    """Prints the last lines of one service or of all; follows them until Ctrl-C.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        NotRunning: nothing was ever started.
    """
    store, out = StateStore.default(), plain_console()
    roles = [role] if role else list(ROLES)
    tails = {role: Tail(store.log(role)) for role in roles}
    if not follow and not any(tail.path.exists() for tail in tails.values()):
        raise NotRunning(f"no logs in {store.directory}: `cascade up` starts the services")
    try:
        for role, tail in tails.items():
            _print(out, role, tail.last(lines), named=len(roles) > 1)
        while follow:
            time.sleep(_POLL_S)
            for role, tail in tails.items():
                _print(out, role, tail.new(), named=len(roles) > 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _print(out: Console, role: str, lines: list[str], *, named: bool) -> None:
    for line in lines:
        text = Text(visible(line) if out.is_terminal else line)
        if named:
            text = Text.assemble((f"{role:7} | ", _STYLES[role] if styled(out) else ""), text)
        out.print(text)
