"""A progress bar that takes no time from what is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bars:
    """One bar for each stretch of work.  Drawn when told, and never from a thread of its own."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=0, visible=False)

    def begin(self, what: str, total: int) -> None:
        """A stretch of so many prompts begins."""
        self._task = self._progress.add_task(what, total=total)
        self._progress.refresh()

    def advance(self) -> None:
        """One more prompt is done."""
        self._progress.advance(self._task)
        self._progress.refresh()


@contextmanager
def progress_bars() -> Iterator[Bars]:
    """Bars on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        yield Bars(progress)
