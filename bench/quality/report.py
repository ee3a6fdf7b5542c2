"""The report of a run, as Markdown and as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.machine import Machine
from bench.markdown import Cell, bullets, document, table
from bench.quality.sandbox import Limits
from bench.quality.summary import Beside, Judged, Summary, beside, summarise
from bench.quality.systems import EXPERT, LOSSLESS, STOP_STRINGS, System


@dataclass(frozen=True)
class Run:
    """All of a run."""

    machine: Machine
    pair: str
    """Its name."""
    models: tuple[str, str]
    """Names of drafter and expert."""
    kept_in: tuple[str, str]
    """What their weights are kept in."""
    settings: Mapping[str, Any]
    """All that shapes an answer, the weights' fingerprints included."""
    problems: Sequence[str]
    had: int
    """Answers that an earlier run had left."""
    isolation: str
    """How answers were kept from the network while they were tested."""
    judged: Mapping[System, Sequence[Judged]]
    """The answers of each system, in the order of the problems."""

    @property
    def streams(self) -> str:
        """Whose speed is told."""
        at_once = self.settings["at_once"]
        return "one stream" if at_once == 1 else f"each of up to {at_once} streams at once"

    @cached_property
    def summaries(self) -> dict[System, Summary]:
        """Of each system."""
        return {system: summarise(of) for system, of in self.judged.items()}

    @property
    def besides(self) -> dict[System, Beside]:
        """Each other system beside the expert; none where that is left out."""
        expert = self.judged.get(EXPERT)
        if expert is None:
            return {}
        return {s: beside(of, expert) for s, of in self.judged.items() if s != EXPERT}


def to_markdown(run: Run, image: str) -> str:
    """The report for people; ``image`` is the picture's path from where the report lies."""
    return document(
        "# Quality: HumanEval pass@1, speed and expert calls",
        bullets([*run.machine.lines(), *_set_up(run)]),
        f"![Pass@1 against speed and expert calls, {run.pair}]({Path(image).as_posix()})",
        "## Over all",
        _table(run.summaries),
        "## Beside the expert's answers",
        *_besides(run),
        "## What failed",
        _failures(run),
    )


def _set_up(run: Run) -> list[str]:
    drafter, expert = run.models
    limits = Limits()
    answers = len(run.judged) * len(run.problems)
    return [
        f"Models: drafter {drafter}, expert {expert}, {run.settings['dtype']}; the drafter's "
        f"weights {run.kept_in[0]}, the expert's {run.kept_in[1]}",
        f"Prompts: {len(run.problems)} of HumanEval, spread over it (0, 20, ..., 160, 1, 21, ...), "
        f"each {_asked(run)}; greedy, at most {run.settings['max_tokens']} new tokens",
        f"{run.had} of {answers} answers come from earlier runs, with their times",
        "pass@1: the share of problems whose first answer passes the tests, with Wilson's interval "
        "of 95 % confidence. The systems answer the same problems, so that they can differ "
        "from each other by less than by their intervals: the table beside the expert tells how",
        f"tokens/s: all tokens by all time, prompts included, {run.streams} over loopback. Systems "
        "take turns, and speculation goes on where it does not pay",
        "Expert calls: passes of the expert's model; one verifies a block, or decodes a token. The "
        "prompt goes with the first",
        f"Tests: each in a fresh Python process, at most {limits.cpu_s} s of processor time, "
        f"{limits.wall_s:g} s in all, {limits.memory_bytes / 2**30:g} GiB; kept from the network "
        f"by {run.isolation}",
    ]


def _asked(run: Run) -> str:
    if run.settings["chat"]:
        return "as one user message in the expert's chat template, where it has one"
    *ends, fence = (stop.encode("unicode_escape").decode() for stop in STOP_STRINGS)
    listed = ", ".join(f"`{end}`" for end in ends)
    return (
        f"continued as it stands until {listed} (Chen et al. 2021) or `` {fence} ``; of the "
        "continuation counts what is indented"
    )


def _table(summaries: Mapping[System, Summary]) -> str:
    header = ["system", "passed", "pass@1", "95 % interval", "tokens/s"]
    header += ["expert calls a token", "tokens", "cut by length"]
    rows: list[list[Cell]] = [
        [
            system.name,
            f"{s.passed} of {s.problems}",
            f"{s.pass_at_1:.3f}",
            f"{s.interval.low:.3f} to {s.interval.high:.3f}",
            f"{s.tokens_per_s:.2f}",
            f"{s.calls_per_token:.3f}",
            s.tokens,
            s.cut,
        ]
        for system, s in summaries.items()
    ]
    return table(header, rows)


def _besides(run: Run) -> list[str]:
    found = run.besides
    if not found:
        return ["Without the expert or without another system there is nothing to compare."]
    rows: list[list[Cell]] = [
        [system.name, f"{b.identical} of {len(run.problems)}", b.only_expert, b.only_system]
        for system, b in found.items()
    ]
    header = ["system", "identical answers", "only the expert passes", "only the system passes"]
    parts = [table(header, rows)]
    if lossless := found.get(LOSSLESS):
        parts.append(
            f"Lossless: {lossless.identical} of {len(run.problems)} answers are the expert's token "
            f"for token; {lossless.only_expert} pass in the expert's alone and "
            f"{lossless.only_system} in the lossless one's alone. On paper all are equal; only "
            "rounding between nearly tied tokens may part them ([how near](quality_near_ties.md))."
        )
    return parts


def _failures(run: Run) -> str:
    """A row for each system that failed a problem: of what kind, and which."""
    rows: list[list[Cell]] = []
    for system, of in run.judged.items():
        failed = [judged for judged in of if not judged.judgement.passed]
        if failed:
            kinds = Counter(_kind(judged.judgement.reason) for judged in failed)
            rows.append(
                [
                    system.name,
                    ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()),
                    ", ".join(judged.problem.rpartition("/")[2] for judged in failed),
                ]
            )
    if not rows:
        return "Nothing."
    return table(["system", "how often, and how", "problems of HumanEval"], rows)


def _kind(reason: str) -> str:
    """The name of the exception, or all of a reason that is none: nothing that an answer wrote."""
    name = reason.partition(":")[0]
    return name if name.isidentifier() else reason.partition(",")[0]


def to_json(run: Run) -> dict[str, Any]:
    """The report for programs.  The texts lie where the answers are kept."""
    return {
        "machine": run.machine.to_json(),
        "pair": run.pair,
        "models": dict(zip(("drafter", "expert"), run.models, strict=True)),
        "settings": dict(run.settings),
        "problems": list(run.problems),
        "answers_of_earlier_runs": run.had,
        "isolation": run.isolation,
        "limits": asdict(Limits()),
        "summaries": {system.name: asdict(s) for system, s in run.summaries.items()},
        "beside_expert": {system.name: asdict(b) for system, b in run.besides.items()},
        "judgements": {
            system.name: {judged.problem: asdict(judged.judgement) for judged in of}
            for system, of in run.judged.items()
        },
    }
