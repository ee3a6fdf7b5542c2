"""Tables and lists as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

Cell = str | int | float | None


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table: the first column to the left, the others to the right.  None is a dash."""
    lines = [list(header), ["---"] + ["---:"] * (len(header) - 1)]
    lines += [["-" if cell is None else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def number(value: float | None, form: str) -> str | None:
    """A number in a format; None stays None."""
    return None if value is None else format(value, form)


def document(*parts: str) -> str:
    """Parts with an empty line between them."""
    return "\n\n".join(parts) + "\n"


def rounded(value: Any, digits: int = 6) -> Any:
    """A JSON value with its floats rounded, so that files stay readable."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(entry, digits) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry, digits) for entry in value]
    return value
