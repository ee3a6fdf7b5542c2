"""The display of services that start: for each its state, memory and time."""

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from router.cli.preflight import gigabytes


class Loading(Progress):
    """One bar for each service under way; where there is no terminal, one line for each event."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, tuple[TaskID, int]] = {}

    def begin(self, role: str, what: str, expected: int | None = None) -> None:
        """A service was started; ``expected`` bytes of memory mean that it is loaded."""
        task = self.add_task(f"{role:8}", total=expected, detail=escape(what))
        self._bars[role] = (task, expected or 0)
        if self.disable:
            self.console.print(f"{role}: {what}", markup=False, highlight=False, soft_wrap=True)

    def memory(self, role: str, resident: int) -> None:
        """The memory that a service takes now, bytes."""
        task, expected = self._bars[role]
        if expected:
            detail = f"loading, {gigabytes(resident)} of about {gigabytes(expected)}"
            # A full bar is for one that serves.
            self.update(task, completed=min(resident, round(0.99 * expected)), detail=detail)

    def serves(self, role: str, address: str) -> None:
        """The service is ready."""
        task, expected = self._bars[role]
        total = expected or 1
        self.update(task, total=total, completed=total, detail=f"serves at {address}")
        if self.disable:
            self.console.print(f"{role}: serves at {address}", markup=False, highlight=False)
