"""From the text of an answer to the parts of a program that is tested.

Models answer in three ways: with a whole function within a Markdown fence, with a whole function as
bare text, or with a function's body alone, as a continuation of the prompt.
"""

import re
import textwrap
import warnings
from itertools import takewhile

from bench.quality.problems import Problem

# A fence that the end of the answer cut off counts, too.
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.M | re.S)
_PYTHON = frozenset({"python", "python3", "py", ""})
_INDENT = "    "


def parts(problem: Problem, text: str) -> tuple[str, ...]:
    """Sources that are run one after the other in one namespace, the tests not among them.

    A whole function comes after the prompt, which has the imports and helpers that it may use and
    whose own function it takes the place of; a body completes the prompt.
    """
    blocks = _blocks(text)
    for block in [*blocks, text]:
        if _defines(block, problem.entry_point):
            return problem.prompt, textwrap.dedent(block)
    body = blocks[0] if blocks else _continued(text)
    return (_completed(problem.prompt, body),)


def _blocks(text: str) -> list[str]:
    """The contents of the fences that may be Python."""
    return [code for language, code in _FENCE.findall(text) if language.lower() in _PYTHON]


def _defines(code: str, name: str) -> bool:
    return (
        re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", code, re.M) is not None
    )


def _continued(text: str) -> str:
    """What of a continuation belongs to the body: all until a line is not indented any more."""
    lines = text.splitlines()
    while lines and not lines[0].strip():
        del lines[0]
    if not lines or not lines[0][0].isspace():
        return text
    return "\n".join(takewhile(lambda line: not line.strip() or line[0].isspace(), lines))


def _completed(prompt: str, body: str) -> str:
    """The prompt with the body one level deep.

    The first line alone may lack its indent, where a model takes that as given; what then compiles
    tells.
    """
    whole = prompt + textwrap.indent(textwrap.dedent(body), _INDENT) + "\n"
    first = prompt + _INDENT + body.lstrip() + "\n"
    return first if _compiles(first) and not _compiles(whole) else whole


def _compiles(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a model writes
        try:
            compile(code, "<answer>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
