"""``python -m bench.quality``: HumanEval pass@1 of every system, beside speed and expert calls."""

import os
from pathlib import Path
from typing import Annotated, cast

import typer

from bench import options, results
from bench.errors import BadOption
from bench.machine import Watch
from bench.near_ties import report as near_ties
from bench.near_ties.compare import Comparison
from bench.near_ties.gaps import views
from bench.pair import Pair, choose_pair
from bench.progress import progress_bar
from bench.quality.ask import Asking, ask, settings
from bench.quality.judge import judge
from bench.quality.kept import NAME, keeping
from bench.quality.parted import comparisons
from bench.quality.plot import save_plot
from bench.quality.problems import read_problems
from bench.quality.report import Run, to_json, to_markdown
from bench.quality.sandbox import isolation
from bench.quality.systems import ALL, DEFAULT, parse_systems
from services.engine.weights import Weights

IMAGES = Path("docs/images")
KEEP = Path("build/quality")
"""Not with the report: answers of other machines and versions would be taken for this one's."""


def quality(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    drafter_weights: options.DrafterWeights = "auto",
    expert_weights: options.ExpertWeights = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Problems, spread over all", show_default="all 164")
    ] = None,
    max_tokens: options.MaxTokens = 512,
    at_once: Annotated[int, typer.Option(min=1, help="Problems asked of a system at once")] = 1,
    chat: Annotated[
        bool, typer.Option("--chat", help="Problems as user messages, not as texts to continue")
    ] = False,
    systems: Annotated[
        str, typer.Option(help="Names with commas between, a rule with or without :alpha")
    ] = DEFAULT,
    everything: Annotated[
        bool, typer.Option("--all", help="Every rule over its alphas, and the sequence cascade")
    ] = False,
    keep: Annotated[Path, typer.Option(help="Folder of the answers, which are asked once")] = KEEP,
    out: options.Out = options.RESULTS,
    images: Annotated[Path, typer.Option(help="Folder of the picture")] = IMAGES,
) -> None:
    """Measure how many problems each system solves, how fast, and for how many expert calls.

    Interrupted, it goes on where it was when it is run again.
    """
    watch = Watch("bench.quality")
    if everything and systems != DEFAULT:
        raise BadOption("give either --all or --systems")
    chosen = parse_systems(ALL if everything else systems)
    models = choose_pair(pair, drafter, expert, dtype, drafter_weights, expert_weights)
    problems = read_problems(limit)
    asking = Asking(max_tokens, at_once, chat)
    shaping = settings(models, asking)
    with (
        keeping(keep, shaping) as kept,
        progress_bar(2 * len(chosen) * len(problems)) as bar,
    ):
        had = ask(chosen, models, problems, kept, bar, asking)
        judged = judge(chosen, problems, kept, bar)
    run = Run(
        machine=watch.machine(),
        pair=_name(models),
        models=models.names,
        kept_in=(_kept_in(drafter_weights, models), _kept_in(expert_weights, models)),
        settings=shaping,
        problems=[problem.name for problem in problems],
        had=had,
        isolation=isolation(),
        judged=judged,
    )
    picture = save_plot(run, images)
    markdown = to_markdown(run, os.path.relpath(picture, out))
    path = results.write(out, "quality", markdown, to_json(run))
    print(path.read_text())
    if compared := comparisons(judged, models, problems, chat=chat):
        _tell_near_ties(run, models, compared, out)
    print(
        f"Written to {path}, {path.with_suffix('.json')} and {picture}; the answers are in "
        f"{keep / NAME}"
    )


def _tell_near_ties(run: Run, models: Pair, compared: list[Comparison], out: Path) -> None:
    """Writes how close the two tokens were wherever lossless parts from the expert."""
    seen = views(models.expert, models.dtype, compared, cast(Weights, models.expert_weights))
    set_up = near_ties.SetUp(
        run.machine,
        models.names,
        models.dtype,
        run.settings["max_tokens"],
        f"{len(run.problems)} problems, as `bench.quality` has kept them",
    )
    path = results.write(
        out,
        "quality_near_ties",
        near_ties.greedy_markdown(set_up, compared, seen),
        near_ties.greedy_json(set_up, compared, seen),
    )
    print(f"Where lossless parts from the expert: {path}")


def _name(models: Pair) -> str:
    """Of the folder above the expert's: a pair's own where the catalogue has placed it."""
    return models.expert.resolve().parent.name


def _kept_in(weights: str, models: Pair) -> str:
    return models.dtype if weights == "auto" else weights


if __name__ == "__main__":
    options.run(quality)
