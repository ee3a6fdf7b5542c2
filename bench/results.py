"""Where the commands leave their reports."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.markdown import rounded


def write(folder: Path, name: str, markdown: str, values: Mapping[str, Any]) -> Path:
    """Writes both forms of a report, ``name.md`` and ``name.json``; gives the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(rounded(values), indent=1) + "\n")
    path = folder / f"{name}.md"
    path.write_text(markdown)
    return path
