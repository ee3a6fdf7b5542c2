"""``python -m bench.wire``: bytes for each drafted token, law by law."""

from typing import Annotated

import typer

from bench import options, results
from bench.client import Client
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import progress_bar
from bench.prompts import check_room, read_prompts
from bench.services import running
from bench.wire.ask import ask
from bench.wire.cases import CASES, Setting
from bench.wire.report import Run, to_json, to_markdown


def wire(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    limit: options.Limit = None,
    max_tokens: options.MaxTokens = 64,
    block_length: Annotated[
        int, typer.Option(min=0, max=64, help="Tokens drafted in a round; 0: the router chooses")
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of every answer")] = 1,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure what crosses the network for each drafted token."""
    watch = Watch("bench.wire")
    models = choose_pair(pair, drafter, expert, dtype)
    prompts = read_prompts(models.expert, limit)
    check_room(prompts, max_tokens, models.context_length)
    setting = Setting(max_tokens, seed, block_length or None)
    with progress_bar(len(CASES) * len(prompts)) as bar:
        bar.say("loading")
        with running(models) as address, Client(address) as client:
            measured = ask(client, CASES, prompts, setting, bar)
    run = Run(
        machine=watch.machine(),
        models=models.names,
        dtype=models.dtype,
        vocabulary_size=models.output_sizes[0],
        prompts=prompts,
        setting=setting,
        measured=measured,
    )
    path = results.write(out, "wire", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(wire)
