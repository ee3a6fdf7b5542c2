"""What a fetch shows: one bar for each step under way, and one line for each that is done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text


class BytesColumn(DownloadColumn):
    """Bytes of how many, for steps that know."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class FetchProgress(Progress):
    """A progress display that measures a download by the bytes in its folder.

    So any program may do the downloading, and need not report.
    """

    def __init__(self, console: Console) -> None:
        self._folders: dict[TaskID, Path] = {}
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            BytesColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(
        self, what: str, folder: Path | None = None, total: int | None = None
    ) -> Iterator[None]:
        """Show a step while the block runs, and how long it took where it succeeds.

        Args:
            what: the step, for people.
            folder: where its bytes arrive, if it is a download.
            total: the bytes that it comes to, if known.
        """
        begin = time.monotonic()
        task = self.add_task(what, total=total)
        if folder is not None:
            self._folders[task] = folder
        try:
            yield
        finally:
            self._folders.pop(task, None)
            self.remove_task(task)
        self.line(f"{what}: {time.monotonic() - begin:.0f} s")

    def get_renderables(self) -> Iterable[RenderableType]:
        """Measure the folders each time that the bars are drawn."""
        for task, folder in list(self._folders.items()):
            total = self._tasks[task].total
            # Never backwards: where a downloader copies a piece, it counts twice for a while.
            here = max(folder_bytes(folder), self._tasks[task].completed)
            self._tasks[task].completed = here if total is None else min(here, total)
        return super().get_renderables()


def folder_bytes(folder: Path) -> int:
    """The bytes of all files under a folder; 0 if there is none."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # Another thread has just moved it.
            continue
    return total
