"""What a fetch shows on a terminal and what it leaves in a log."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from services.models.progress import FetchProgress, folder_bytes
from tests.unit.model_samples import quiet_progress


def test_a_download_is_measured_by_its_folder_and_never_goes_backwards(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    progress = FetchProgress(console)
    (tmp_path / "below").mkdir()
    with progress.step("downloading", folder=tmp_path, total=1000):
        seen = []
        for name, size in (("a", 100), ("below/b", 300), ("below/b", 200), ("c", 5000)):
            (tmp_path / name).write_bytes(bytes(size))
            progress.get_renderables()
            seen.append(progress.tasks[0].completed)
    assert seen == [100, 400, 400, 1000]
    assert progress.tasks == []


def test_steps_that_are_done_are_told_and_failed_ones_are_not() -> None:
    progress, lines = quiet_progress()
    with progress.step("checking"):
        pass
    with pytest.raises(ValueError, match="broken"), progress.step("converting"):
        raise ValueError("broken")
    assert re.fullmatch(r"checking: \d+ s\n", lines.getvalue())


def test_no_folder_has_no_bytes(tmp_path: Path) -> None:
    assert folder_bytes(tmp_path / "none") == 0
