"""Reads the reports that other benches left, with a clear word for what is not in them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError

MADE_BY = {
    "speed": "make bench-speed",
    "engine": "make bench-engine",
    "streams": "make bench-streams",
}


class BadResult(BenchError):
    """A report that is missing, lacks a field or is of other models; the text names its command."""


@dataclass(frozen=True)
class Source:
    """Where figures come from."""

    name: str
    """The file."""
    command: str
    date: str
    commit: str
    cpu: str
    cores: int
    memory_gib: float

    def line(self) -> str:
        """For a report."""
        return (
            f"`{self.name}`: `{self.command}`, {self.date}, commit {self.commit}, on {self.cpu}, "
            f"{self.cores} cores, {self.memory_gib:.1f} GiB of memory"
        )


class Stored:
    """One report, by the path of its fields."""

    def __init__(self, folder: Path, name: str) -> None:
        """Opens ``name.json`` in a folder.

        Raises:
            BadResult: it is not there, or is no JSON object.
        """
        self.name = name
        self._path = folder / f"{name}.json"
        self._made_by = MADE_BY[name]
        try:
            self._values = json.loads(self._path.read_text())
        except FileNotFoundError:
            raise self.bad("not there") from None
        except ValueError:
            raise self.bad("no JSON") from None
        if not isinstance(self._values, dict):
            raise self.bad("no JSON object")

    def bad(self, what: str) -> BadResult:
        """What is wrong with this report, as one line with the command that makes it."""
        return BadResult(f"{self._path}: {what}; `{self._made_by}` makes it")

    @property
    def source(self) -> Source:
        """Where, when and from what commit."""
        return Source(
            name=self._path.name,
            command=str(self.at("machine", "command")),
            date=str(self.at("machine", "date")),
            commit=str(self.at("machine", "commit")),
            cpu=str(self.at("machine", "cpu")),
            cores=int(self.number("machine", "cores")),
            memory_gib=self.number("machine", "memory_gib"),
        )

    def at(self, *path: str | int) -> Any:
        """The value at a path of keys and indices.

        Raises:
            BadResult: there is none.
        """
        value: Any = self._values
        for key in path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                raise self.bad(f"no {_named(path)}") from None
        return value

    def number(self, *path: str | int) -> float:
        """A number above 0.

        Raises:
            BadResult: there is none, or it is another value.
        """
        value = self.at(*path)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self.bad(f"{_named(path)} is {str(value)[:40]!r}, no number above 0")
        return float(value)

    def numbers(self, *path: str | int) -> list[float]:
        """A list of numbers above 0, at least one.

        Raises:
            BadResult: there is none.
        """
        return [self.number(*path, i) for i in range(len(self.sequence(*path)))]

    def sequence(self, *path: str | int) -> Sequence[Any]:
        """A list, at least one long.

        Raises:
            BadResult: there is none.
        """
        value = self.at(*path)
        if not isinstance(value, list) or not value:
            raise self.bad(f"{_named(path)} is no list, or an empty one")
        return value

    def mapping(self, *path: str | int) -> Mapping[str, Any]:
        """An object, at least one entry long.

        Raises:
            BadResult: there is none.
        """
        value = self.at(*path)
        if not isinstance(value, dict) or not value:
            raise self.bad(f"{_named(path)} is no object, or an empty one")
        return value


def _named(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))
