"""``python -m bench.streams``: ours and what others run, on the same prompts, in one run."""

from typing import Annotated

import psutil
import typer

from bench import options, results
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts, warm_up_prompt
from bench.streams.engines import groups, serving
from bench.streams.measure import batches, measure
from bench.streams.report import Run, to_json, to_markdown
from bench.streams.systems import System, choose

AT_ONCE = (1, 8)


def streams(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    drafter_weights: options.DrafterWeights = "auto",
    expert_weights: options.ExpertWeights = "auto",
    draft_vocabulary: options.DraftVocabulary = 0,
    limit: Annotated[int, typer.Option(min=1, help="Problems, of every 20th")] = 8,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy")] = 0.0,
    max_tokens: options.MaxTokens = 96,
    repeats: Annotated[int, typer.Option(min=1, help="Of each batch and system")] = 3,
    at_once: Annotated[
        list[int] | None, typer.Option(min=1, help="Requests at once", show_default=str(AT_ONCE))
    ] = None,
    systems: Annotated[
        list[System] | None, typer.Option(help="Who answers", show_default="all that are installed")
    ] = None,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure answers, one at a time and several at once: ours, and those of others."""
    watch = Watch("bench.streams")
    models = choose_pair(
        pair, drafter, expert, dtype, drafter_weights, expert_weights, draft_vocabulary
    )
    chosen, left_out = choose(systems or [], models)
    print("\n".join(left_out))
    prompts, warm_up = read_prompts(models.expert, limit), warm_up_prompt(models.expert)
    check_room([*prompts, warm_up], max_tokens, models.context_length)
    found = {n: batches(prompts, n) for n in at_once or AT_ONCE}
    together = groups(chosen, models, psutil.virtual_memory().available)
    steps = [len(of) for n, of in found.items() for system in chosen if system.answers(n)]
    with progress_bar(sum(steps) * repeats) as bar:
        for group in together:
            with serving(group, models, temperature, max(found), bar) as asks:
                for of in found.values():
                    measure(asks, of, warm_up, max_tokens, repeats, bar)
            del asks  # with the models that this process holds, before others are loaded
    run = Run(
        machine=watch.machine(),
        models=models.names,
        dtype=models.dtype,
        weights=(drafter_weights, expert_weights),
        draft_vocabulary=draft_vocabulary,
        temperature=temperature,
        max_tokens=max_tokens,
        repeats=repeats,
        together=together,
        left_out=left_out,
        batches=found,
    )
    name = f"streams-t{temperature:g}" if temperature else "streams"
    path = results.write(out, name, to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(streams)
