"""The user's own prompts, from a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.calibrate.errors import BadPrompts

_FIELDS = ("prompt", "text")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Prompt:
    """One prompt."""

    name: str
    """What messages call it."""
    content: str | tuple[int, ...]
    """A text, or token ids that are continued as they stand."""


def read_prompts(path: Path, limit: int | None = None) -> list[Prompt]:
    """The first ``limit`` prompts of a file: .jsonl, or plain text with one a line.

    A line of .jsonl is an object with a "prompt", or else a "text".  Empty lines are skipped.

    Raises:
        BadPrompts: the file can't be read, or has no prompt, or a line is none; one that is not
            reached is not looked at.
    """
    if path.suffix.lower() in (".json", ".ndjson"):
        raise BadPrompts(
            f"{path}: must be .jsonl, an object a line, or plain text, a prompt a line"
        )
    try:
        lines = path.read_bytes().removeprefix(_BOM).split(b"\n")
    except OSError as error:
        raise BadPrompts(f"can't read {path}: {error.strerror}") from error
    as_json = path.suffix.lower() == ".jsonl"
    prompts: list[Prompt] = []
    for number, raw in enumerate(lines, 1):
        if len(prompts) == limit:
            break
        where = f"{path}, line {number}"
        try:
            line = raw.decode().removesuffix("\r")
        except UnicodeDecodeError as error:
            raise BadPrompts(f"{where}: not valid UTF-8") from error
        if line.strip():
            text = _of_json(line, where) if as_json else line
            prompts.append(Prompt(f"line {number}", text))
    if not prompts:
        raise BadPrompts(f"{path}: no prompt in it")
    return prompts


def _of_json(line: str, where: str) -> str:
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadPrompts(f"{where}: not valid JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise BadPrompts(f"{where}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadPrompts(f"{where}: must be an object, got {type(value).__name__}")
    field = next((field for field in _FIELDS if field in value), None)
    if field is None:
        raise BadPrompts(f'{where}: must have "prompt" or "text"')
    text = value[field]
    if not isinstance(text, str):
        raise BadPrompts(f'{where}: "{field}" must be a text, got {type(text).__name__}')
    if not text.strip():
        raise BadPrompts(f'{where}: "{field}" must not be empty')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadPrompts(f'{where}: "{field}" is not valid Unicode') from error
    return text
