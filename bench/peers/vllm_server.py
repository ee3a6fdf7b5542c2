"""vLLM's server with its CPU build, the expert alone, as a process: asked as our router is.

It does what the engine in a process (``vllm.py``) does not: receives requests, makes text of the
tokens, and streams them, on the cores that the model computes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.pair import Pair
from bench.peers import http_server, vllm
from bench.peers.http_server import HttpServer

_NAME = "expert"
_MODULE = "vllm.entrypoints.openai.api_server"


class Completion:
    """The route of OpenAI's completions, with tokens in place of a text, and back."""

    def __init__(self, end_token_ids: Sequence[int]) -> None:
        self._end_token_ids = list(end_token_ids)

    def request(
        self, prompt: Sequence[int], max_tokens: int, temperature: float, seed: int
    ) -> tuple[str, dict[str, Any]]:
        """See ``Streamed``."""
        return "/v1/completions", {
            "model": _NAME,
            "prompt": list(prompt),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "ignore_eos": True,
            "stop_token_ids": self._end_token_ids,
            "return_token_ids": True,
            "stream": True,
        }

    def token_ids(self, event: Mapping[str, Any]) -> list[int]:
        """See ``Streamed``."""
        return [token for choice in event["choices"] for token in choice.get("token_ids") or []]

    def over(self, event: Mapping[str, Any]) -> bool:
        """See ``Streamed``."""
        return any(choice.get("finish_reason") for choice in event["choices"])


@contextmanager
def running(pair: Pair, folder: Path) -> Iterator[HttpServer]:
    """Starts it, with a log in ``folder``, waits until it serves, and stops it in the end.

    Raises:
        ServiceFailed: it did not start.
    """
    options = {**vllm.common_options(pair), "served_model_name": _NAME}
    command = [str(vllm.ENVIRONMENT / "bin/python"), "-P", "-m", _MODULE]
    for name, value in options.items():
        flag = name.replace("_", "-")
        match value:
            case bool():
                command.append(f"--{flag}" if value else f"--no-{flag}")
            case _:
                command += [f"--{flag}", str(value)]
    with http_server.running(
        "vLLM's server",
        command,
        pair.end_token_ids,
        folder / "vllm-server.log",
        Completion(pair.end_token_ids),
        environment=vllm.environment(),
    ) as server:
        yield server
