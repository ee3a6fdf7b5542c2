"""vLLM's CPU build, the expert alone or with the drafter as its draft model, as a process."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.answer import Answer
from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.stopping import stop

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".peers/vllm"
"""Which ``make peer-vllm`` makes."""

DRAFTED = 5
"""Tokens drafted at a time."""

_CHILD = Path(__file__).with_name("vllm_child.py")
_SESSIONS = 16
_CONTEXT = 4096


def installed() -> bool:
    """Whether its environment is there."""
    return (ENVIRONMENT / ".installed").exists()


class Vllm:
    """A running vLLM."""

    def __init__(
        self, process: "subprocess.Popen[str]", end_token_ids: Sequence[int], log: Path
    ) -> None:
        self._process = process
        self._end_token_ids = list(end_token_ids)
        self._log = log

    def answers(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, temperature: float
    ) -> list[Answer]:
        """Answers to all prompts, asked at once; the seed of each is its number.

        Raises:
            ServiceFailed: it ended.
        """
        asked = {
            "prompts": [list(prompt) for prompt in prompts],
            "max_tokens": max_tokens,
            "end_token_ids": self._end_token_ids,
            "temperature": temperature,
        }
        return [self._answer(**found) for found in self._ask(json.dumps(asked))]

    def wait(self) -> None:
        """Waits until it serves.

        Raises:
            ServiceFailed: it ended.
        """
        self._ask("")

    def _ask(self, line: str) -> Any:
        to, by = self._process.stdin, self._process.stdout
        assert to is not None, "a pipe"
        assert by is not None, "a pipe"
        try:
            if line:
                to.write(line + "\n")
                to.flush()
            answer = by.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise ServiceFailed(f"vLLM ended: {lines[-1] if lines else 'it wrote nothing'}")
        return json.loads(answer)

    def _answer(self, token_ids: list[int], at_s: list[float]) -> Answer:
        ended = token_ids[-1] in self._end_token_ids
        return Answer(
            token_ids=tuple(token_ids[:-1] if ended else token_ids),
            end_token_id=token_ids[-1] if ended else None,
            first_s=at_s[0],
            total_s=at_s[-1],
            groups=len(set(at_s)),
            first_tokens=at_s.count(at_s[0]),
        )


def common_options(pair: Pair) -> dict[str, Any]:
    """Of its engine, by the names of ``EngineArgs``."""
    return {
        "model": str(pair.expert.absolute()),
        "dtype": pair.dtype,
        "max_model_len": min(pair.context_length, _CONTEXT),
        "max_num_seqs": _SESSIONS,
        "enable_prefix_caching": False,
        "enforce_eager": True,
    }


def environment() -> dict[str, str]:
    """Of its process: all cores, and nothing from elsewhere."""
    cores = sorted(os.sched_getaffinity(0))
    return {
        **os.environ,
        "VLLM_CPU_OMP_THREADS_BIND": f"{cores[0]}-{cores[-1]}",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def running(pair: Pair, folder: Path, *, drafts: bool) -> Iterator[Vllm]:
    """Starts it, with a log in ``folder``, waits until it serves, and stops it in the end.

    Its prefix cache is off, as in whatever it is compared with, and it runs without compiling.

    Raises:
        ServiceFailed: it did not start.
    """
    options = {**common_options(pair), "skip_tokenizer_init": True}
    if drafts:
        options["speculative_config"] = {
            "method": "draft_model",
            "model": str(pair.drafter.absolute()),
            "num_speculative_tokens": DRAFTED,
        }
    log = folder / f"vllm-{'draft' if drafts else 'alone'}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(ENVIRONMENT / "bin/python"), "-P", str(_CHILD), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**environment(), "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        ) as process,
    ):
        try:
            vllm = Vllm(process, pair.end_token_ids, log)
            vllm.wait()
            yield vllm
        finally:
            stop(process)
