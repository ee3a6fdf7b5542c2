"""Runs the tests on all answers."""

from collections.abc import Sequence

from bench.progress import Bar
from bench.quality.extract import parts
from bench.quality.kept import Kept
from bench.quality.problems import Problem
from bench.quality.sandbox import Judgement, run
from bench.quality.summary import Judged
from bench.quality.systems import System


def judge(
    systems: Sequence[System], problems: Sequence[Problem], kept: Kept, bar: Bar
) -> dict[System, list[Judged]]:
    """The answers of each system, each with what its tests say, in the order of the problems.

    The same program of several systems is run once.
    """
    judgements: dict[tuple[str, ...], Judgement] = {}
    found: dict[System, list[Judged]] = {system: [] for system in systems}
    for problem in problems:
        for system in systems:
            bar.say(f"testing {problem.name}: {system.name}")
            if (of := kept.get(system.name, problem.name)) is None:
                raise KeyError(f"{system.name}, {problem.name}: not answered")
            program = parts(problem, of.text)
            key = (problem.name, *program)
            if key not in judgements:
                judgements[key] = run(program, problem.test, problem.entry_point)
            found[system].append(Judged(problem.name, of.answer, of.text, judgements[key]))
            bar.advance()
    return found
