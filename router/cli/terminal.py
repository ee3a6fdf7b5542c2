"""Text from elsewhere on a terminal: shown, never obeyed."""

import re

from rich.console import Console
from rich.table import Table

# All control characters but tab and newline, and those that reorder the text around them.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PIPE_WIDTH = 200


def visible(text: str) -> str:
    """Text without power over a terminal: ``\\x1b`` for an escape, carriage returns dropped."""
    return _CONTROL.sub(_escape, text.replace("\r", ""))


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def plain_console() -> Console:
    """Standard output for lines of our own, which are neither cut nor coloured by their content.

    Where there is no terminal, tables may be wider than one.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def new_table(*columns: str) -> Table:
    """A table without lines, whose cells are folded where there is no room, never cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def styled(console: Console) -> bool:
    """Whether a console takes styles: a terminal, and no wish for plain text (NO_COLOR)."""
    return console.is_terminal and not console.no_color
