"""``python -m bench.streams``: ours and vLLM on the same prompts, in one run."""

from typing import Annotated

import typer

from bench import options, results
from bench.errors import BadOption
from bench.machine import Watch
from bench.pair import choose_pair
from bench.peers import vllm
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts, warm_up_prompt
from bench.streams.measure import batches, measure
from bench.streams.report import Run, to_json, to_markdown
from bench.streams.systems import MODES, System, serving


def streams(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    drafter_weights: options.DrafterWeights = "auto",
    expert_weights: options.ExpertWeights = "auto",
    limit: options.Limit = 6,
    max_tokens: options.MaxTokens = 96,
    repeats: Annotated[int, typer.Option(min=1, help="Of each batch and system")] = 3,
    at_once: Annotated[
        list[int] | None, typer.Option(min=1, help="Requests at once", show_default="1, and 6")
    ] = None,
    systems: Annotated[
        list[System] | None, typer.Option(help="Who answers", show_default="all that are installed")
    ] = None,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure greedy answers, one at a time and several at once: ours, and vLLM's CPU build."""
    watch = Watch("bench.streams")
    if not vllm.installed():
        if systems and set(systems) - set(MODES):
            raise BadOption("--systems: vLLM is not installed; `make peer-vllm` does it")
        print("vLLM is not installed, and left out; `make peer-vllm` installs it")
    chosen = systems or [s for s in System if s in MODES or vllm.installed()]
    models = choose_pair(pair, drafter, expert, dtype, drafter_weights, expert_weights)
    prompts, warm_up = read_prompts(models.expert, limit), warm_up_prompt(models.expert)
    check_room([*prompts, warm_up], max_tokens, models.context_length)
    found = {n: batches(prompts, n) for n in at_once or (1, 6)}
    with (
        progress_bar(sum(map(len, found.values())) * len(chosen) * repeats) as bar,
        serving(chosen, models, bar) as asks,
    ):
        for of in found.values():
            measure(asks, of, warm_up, max_tokens, repeats, bar)
    run = Run(
        machine=watch.machine(),
        models=models.names,
        dtype=models.dtype,
        weights=(drafter_weights, expert_weights),
        max_tokens=max_tokens,
        repeats=repeats,
        systems=chosen,
        batches=found,
    )
    path = results.write(out, "streams", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(streams)
