"""``python -m bench.speed``: transformers and the services on the same prompts, in one run."""

from typing import Annotated

import psutil
import typer

from bench import options
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts, warm_up_prompt
from bench.speed.measure import Measured, measure
from bench.speed.ours import Drafts
from bench.speed.plan import fits_together, groups
from bench.speed.report import Run, write
from bench.speed.systems import System, check_assistable, parse_systems


def speed(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    drafter_weights: options.DrafterWeights = "auto",
    expert_weights: options.ExpertWeights = "auto",
    draft_vocabulary: options.DraftVocabulary = 0,
    limit: options.Limit = None,
    max_tokens: options.MaxTokens = 96,
    block_length: options.BlockLength = None,
    early_stop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Drafts end with a token of a lower top probability; 0: they do not",
            show_default="the router's, or with --block-length 0",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Answers of each system and problem")] = 3,
    systems: Annotated[
        str, typer.Option(help=f"Some of {', '.join(System)}", show_default="all")
    ] = "",
    apart: Annotated[
        bool,
        typer.Option("--apart", help="Never hold transformers and the services in memory both"),
    ] = False,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure greedy decoding: transformers alone and assisted, and ours over loopback."""
    watch = Watch("bench.speed")
    chosen = parse_systems(systems)
    models = choose_pair(
        pair, drafter, expert, dtype, drafter_weights, expert_weights, draft_vocabulary
    )
    check_assistable(chosen, models.output_sizes)
    prompts, warm_up = read_prompts(models.expert, limit), warm_up_prompt(models.expert)
    check_room([*prompts, warm_up], max_tokens, models.context_length)
    available = psutil.virtual_memory().available
    together = not apart and fits_together(models.weights_bytes, available)
    measured, drafts = Measured(), Drafts(block_length, early_stop)
    with progress_bar(len(chosen) * len(prompts) * repeats) as bar:
        for group in groups(chosen, together):
            measure(
                group,
                models,
                prompts,
                warm_up,
                bar,
                measured,
                max_tokens=max_tokens,
                repeats=repeats,
                drafts=drafts,
            )
    run = Run(
        machine=watch.machine(),
        models=models.names,
        dtype=models.dtype,
        weights=(drafter_weights, expert_weights),
        draft_vocabulary=draft_vocabulary,
        prompts=prompts,
        max_tokens=max_tokens,
        repeats=repeats,
        end_token_ids=models.end_token_ids,
        drafts=drafts,
        together=together,
        answers={system: measured.answers[system] for system in chosen},
        laws=measured.laws,
    )
    path = write(run, out)
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(speed)
