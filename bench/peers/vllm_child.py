"""Answers by vLLM.  Runs in vLLM's own environment, where nothing of this project is installed.

``python vllm_child.py OPTIONS``: options are JSON, keyword arguments of vLLM's ``EngineArgs``.
Once it serves, it writes a line.  Then for each line that it reads, ``{"prompts": [[id, ...], ...],
"max_tokens": n, "end_token_ids": [id, ...], "temperature": t}``, it answers all prompts at once,
each with its number as seed, and writes a line: for each prompt ``{"token_ids": [...], "at_s":
[...]}``, when each token came, from the request.
"""

import json
import os
import sys
import time
from typing import Any, TextIO


def main(lines: TextIO, answers: TextIO) -> None:
    """Serves until its input ends."""
    from vllm import EngineArgs, LLMEngine, SamplingParams

    engine = LLMEngine.from_engine_args(EngineArgs(**json.loads(sys.argv[1])))
    _write(answers, {"ready": True})
    for number, line in enumerate(lines):
        asked = json.loads(line)
        results: list[dict[str, Any]] = [{"token_ids": [], "at_s": []} for _ in asked["prompts"]]
        start = time.perf_counter()
        for i, prompt in enumerate(asked["prompts"]):
            sampling = SamplingParams(
                temperature=asked["temperature"],
                seed=i,
                max_tokens=asked["max_tokens"],
                ignore_eos=True,
                stop_token_ids=asked["end_token_ids"],
                detokenize=False,
            )
            engine.add_request(f"{number}-{i}", {"prompt_token_ids": prompt}, sampling)
        while engine.has_unfinished_requests():
            for output in engine.step():
                result = results[int(output.request_id.split("-")[1])]
                result["token_ids"] = list(output.outputs[0].token_ids)
                new = len(result["token_ids"]) - len(result["at_s"])
                result["at_s"] += [time.perf_counter() - start] * new
        _write(answers, results)


def _write(to: TextIO, value: Any) -> None:
    to.write(json.dumps(value) + "\n")
    to.flush()


if __name__ == "__main__":
    # What vLLM prints goes to the log, and not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(sys.stdin, answers)
