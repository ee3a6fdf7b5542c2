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


class Bar:
    """The bar of one run.  Drawn when told something, and never from a thread of its own.

    Where no terminal shows it, a line for each step.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def say(self, text: str) -> None:
        """What is done now."""
        self._progress.update(self._task, description=text)
        self._progress.refresh()

    def advance(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)
        self._progress.refresh()
        if not self._progress.console.is_terminal:
            task = self._progress.tasks[self._task]
            done, took = f"{task.completed:.0f} of {task.total:.0f}", f"{task.elapsed or 0:.0f} s"
            line = f"{done}, {took}: {task.description}"
            self._progress.console.print(line, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def progress_bar(total: int) -> Iterator[Bar]:
    """A bar of ``total`` steps on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        yield Bar(progress, total)
