"""``python -m bench.foresight``: rejections that the drafter foresees, by alternatives."""

from typing import Annotated

import typer

from bench import options, results
from bench.client import Client
from bench.foresight.measure import Setting, measure
from bench.foresight.report import Run, to_json, to_markdown
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts
from bench.services import running

TEMPERATURES = (0.0, 1.0)
ALTERNATIVES = (0, 1, 2, 4)


def foresight(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    drafter_weights: options.DrafterWeights = "auto",
    expert_weights: options.ExpertWeights = "auto",
    draft_vocabulary: options.DraftVocabulary = 0,
    limit: options.Limit = None,
    temperature: Annotated[
        list[float] | None, typer.Option(min=0.0, max=100.0, show_default=str(TEMPERATURES))
    ] = None,
    alternatives: Annotated[
        list[int] | None, typer.Option(min=0, max=8, show_default=str(ALTERNATIVES))
    ] = None,
    max_tokens: options.MaxTokens = 96,
    block_length: Annotated[int, typer.Option(min=1, max=64, help="Of a round")] = 5,
    out: options.Out = options.RESULTS,
) -> None:
    """Count how often the token in place of a rejected one was an alternative of the drafter's."""
    watch = Watch("bench.foresight")
    models = choose_pair(
        pair, drafter, expert, dtype, drafter_weights, expert_weights, draft_vocabulary
    )
    prompts = read_prompts(models.expert, limit)
    check_room(prompts, max_tokens, models.context_length)
    settings = [
        Setting(t, count)
        for t in temperature or TEMPERATURES
        for count in alternatives or ALTERNATIVES
    ]
    with progress_bar(len(prompts) * len(settings)) as bar:
        bar.say("loading")
        with running(models) as address, Client(address) as client:
            measured = measure(client, prompts, settings, max_tokens, block_length, bar)
    run = Run(
        machine=watch.machine(),
        names=models.names,
        precision=f"{models.dtype}, drafter's weights {models.drafter_weights}"
        + (f", {draft_vocabulary} tokens" if draft_vocabulary else ""),
        max_tokens=max_tokens,
        block_length=block_length,
        prompts=len(prompts),
        measured=measured,
    )
    path = results.write(out, "foresight", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(foresight)
