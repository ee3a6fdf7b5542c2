"""A peer's HTTP server, as a process: waits for it, and reads what it streams."""

import http.client
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from bench.answer import Answer
from bench.errors import ServiceFailed
from bench.stopping import stop

_START_S = 300.0
_POLL_S = 0.2
_ANSWER_S = 600.0


class Streamed(Protocol):
    """How a server is asked for one answer, and what it streams."""

    def request(
        self, prompt: Sequence[int], max_tokens: int, temperature: float, seed: int
    ) -> tuple[str, dict[str, Any]]:
        """The path and the body."""

    def token_ids(self, event: Mapping[str, Any]) -> list[int]:
        """The new tokens of an event."""

    def over(self, event: Mapping[str, Any]) -> bool:
        """Whether it is the last of a whole answer's."""


class HttpServer:
    """A running server."""

    def __init__(
        self,
        name: str,
        process: "subprocess.Popen[bytes]",
        port: int,
        end_token_ids: Sequence[int],
        log: Path,
        streamed: Streamed,
    ) -> None:
        """``name``: what errors call it; ``log``: of the process."""
        self._name = name
        self._process = process
        self._end_token_ids = end_token_ids
        self._url = f"http://127.0.0.1:{port}"
        self._log = log
        self._streamed = streamed
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def wait(self) -> None:
        """Waits until it serves.

        Raises:
            ServiceFailed: it ended, or takes too long.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServiceFailed(f"{self._name} ended: {self._last_line()}")
            try:
                with self._opener.open(f"{self._url}/health", timeout=_POLL_S):
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(_POLL_S)
        raise ServiceFailed(f"{self._name} does not serve after {_START_S:g} s")

    def answers(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, temperature: float
    ) -> list[Answer]:
        """Answers to all prompts, asked at once; the seed of each is its number.

        Raises:
            ServiceFailed: it ended, or refused one.
        """

        def one(numbered: tuple[int, Sequence[int]]) -> Answer:
            seed, prompt = numbered
            return self._answer(*self._streamed.request(prompt, max_tokens, temperature, seed))

        with ThreadPoolExecutor(len(prompts)) as threads:
            return list(threads.map(one, enumerate(prompts)))

    def _answer(self, path: str, body: dict[str, Any]) -> Answer:
        start = time.perf_counter()
        at_s: list[float] = []
        token_ids: list[int] = []
        first_tokens = 1
        over = False
        try:
            for event in self._events(path, body):
                over = over or self._streamed.over(event)
                if new := self._streamed.token_ids(event):
                    at_s.append(time.perf_counter() - start)
                    first_tokens = first_tokens if token_ids else len(new)
                    token_ids += new
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServiceFailed(f"{self._name}: {error}: {self._last_line()}") from error
        total_s = time.perf_counter() - start
        if not over or not at_s:
            raise ServiceFailed(f"{self._name} broke an answer off: {self._last_line()}")
        ended = token_ids[-1] in self._end_token_ids
        return Answer(
            token_ids=tuple(token_ids[:-1] if ended else token_ids),
            end_token_id=token_ids[-1] if ended else None,
            first_s=at_s[0],
            total_s=total_s,
            groups=len(at_s),
            first_tokens=first_tokens,
        )

    def _events(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        request = urllib.request.Request(
            self._url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=_ANSWER_S) as response:
            for line in response:
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    end_token_ids: Sequence[int],
    log: Path,
    streamed: Streamed,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[HttpServer]:
    """Starts a server, waits until it serves, and stops it in the end.

    Args:
        name: what errors call it.
        command: without host and port, which both servers' programs take by the same names.
        end_token_ids: each ends an answer.
        log: a file for what it writes.
        streamed: how it is asked.
        environment: None: this process's.

    Raises:
        ServiceFailed: it did not start.
    """
    port = _free_port()
    whole = [*command, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(whole, stdout=output, stderr=output, env=environment)
    try:
        server = HttpServer(name, process, port, end_token_ids, log, streamed)
        server.wait()
        yield server
    finally:
        stop(process)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
