"""Answers that outlive a run: one line of JSON each, so that a run can be interrupted."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from google.protobuf.json_format import ParseError

from bench.answer import Answer
from bench.errors import BadOption

NAME = "answers.jsonl"


@dataclass(frozen=True)
class KeptAnswer:
    """An answer and its text."""

    answer: Answer
    text: str


class Kept:
    """The answers in a file, those of other settings among them.

    An answer is found again by its system, its problem and the settings: all that shapes it, the
    weights' fingerprints included.  Of two for the same the last counts.
    """

    def __init__(self, settings: Mapping[str, Any], file: IO[bytes]) -> None:
        """``file`` is open for reading and appending."""
        self._settings = _canonical(settings)
        self._file = file
        self._found: dict[tuple[str, str], KeptAnswer] = {}
        self._read()

    def get(self, system: str, problem: str) -> KeptAnswer | None:
        """None: not answered yet."""
        return self._found.get((system, problem))

    def put(self, system: str, problem: str, kept: KeptAnswer) -> None:
        """Keeps an answer; when this returns the system has it."""
        record = {
            "system": system,
            "problem": problem,
            "settings": json.loads(self._settings),
            "text": kept.text,
            **kept.answer.to_json(),
        }
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        self._found[system, problem] = kept

    def _read(self) -> None:
        """Takes what is there, and cuts away a last line that was not written to its end."""
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                record = json.loads(line)
                if _canonical(record["settings"]) == self._settings:
                    kept = KeptAnswer(Answer.from_json(record), record["text"])
                    self._found[record["system"], record["problem"]] = kept
            except (ValueError, KeyError, TypeError, ParseError) as error:
                raise BadOption(f"--keep: line {number} of {NAME} there is no answer") from error
        self._file.truncate(whole)
        self._file.seek(whole)


@contextmanager
def keeping(folder: Path, settings: Mapping[str, Any]) -> Iterator[Kept]:
    """The answers in ``answers.jsonl`` of a folder, which is made where it lacks.

    Raises:
        BadOption: a line there is not an answer; but the last may be a beginning.  Or another run
            keeps its answers there now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadOption(f"--keep: another run uses {folder / NAME}") from error
        yield Kept(settings, file)


def _canonical(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
