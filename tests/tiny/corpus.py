"""The text that the tiny pair is trained on: short documents out of what ships with Python.

Three sources: the language reference as `pydoc` carries it, the docstrings of the standard
library, and the named characters of HTML (so that the models also write characters of two to
four bytes). The order is fixed, and a document's own hash decides whether it is held out, so a
held-out document stays held out under any release of Python.
"""

import ast
import hashlib
import html.entities
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics

MIN_BYTES, MAX_BYTES = 40, 300
HELD_OUT_OF_256 = 4
ENTITIES_PER_DOCUMENT = 6
# What a distribution of Python may leave out or add, and what is no text about Python.
SKIPPED = frozenset(
    {
        "dist-packages",
        "site-packages",
        "test",
        "tests",
        "ctypes",
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "tkinter",
        "turtle.py",
        "turtledemo",
        "venv",
    }
)


@dataclass(frozen=True)
class Corpus:
    """Documents of 40 to 300 UTF-8 bytes, without their end tokens."""

    train: list[str]
    held_out: list[str]

    @property
    def sha256(self) -> str:
        """Hash of all documents in order, each closed by a zero byte."""
        digest = hashlib.sha256()
        for document in self.train + self.held_out:
            digest.update(document.encode() + b"\0")
        return digest.hexdigest()


def load_corpus() -> Corpus:
    """Build the corpus from the running Python: deterministic for one release of it."""
    documents = dict.fromkeys(
        document
        for text in (*_reference(), *_docstrings(), *_characters())
        for document in _documents(text)
    )
    train: list[str] = []
    held_out: list[str] = []
    for document in documents:
        first_byte = hashlib.sha256(document.encode()).digest()[0]
        (held_out if first_byte < HELD_OUT_OF_256 else train).append(document)
    return Corpus(train, held_out)


def _reference() -> Iterator[str]:
    for _, text in sorted(topics.topics.items()):
        yield text


def _docstrings() -> Iterator[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path in sorted(library.rglob("*.py")):
        if SKIPPED.isdisjoint(path.relative_to(library).parts):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, documented):
                    yield ast.get_docstring(node) or ""


def _characters() -> Iterator[str]:
    names = sorted(name for name in html.entities.html5 if name.endswith(";"))
    for start in range(0, len(names), ENTITIES_PER_DOCUMENT):
        group = names[start : start + ENTITIES_PER_DOCUMENT]
        yield "Characters: " + ", ".join(f"{html.entities.html5[n]} is &{n}" for n in group)


def _documents(text: str) -> Iterator[str]:
    """Paragraphs on one line each; a long one is cut at the ends of its sentences."""
    for paragraph in re.split(r"\n\s*\n", text):
        document = ""
        for sentence in re.split(r"(?<=[.:;!?]) ", " ".join(paragraph.split())):
            joined = f"{document} {sentence}" if document else sentence
            if len(joined.encode()) > MAX_BYTES:
                yield from _if_fitting(document)
                document = sentence
            else:
                document = joined
        yield from _if_fitting(document)


def _if_fitting(document: str) -> Iterator[str]:
    if MIN_BYTES <= len(document.encode()) <= MAX_BYTES:
        yield document
