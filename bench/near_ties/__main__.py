"""``python -m bench.near_ties``: what rounding does to answers that are equal on paper."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from bench import options, results
from bench.client import Client
from bench.machine import Watch
from bench.near_ties import ask, report
from bench.near_ties.gaps import views
from bench.pair import Pair, choose_pair
from bench.progress import Bar, progress_bar
from bench.prompts import check_room, read_prompts
from bench.services import running


def near_ties(
    pair: options.Pair = None,
    drafter: options.Drafter = None,
    expert: options.Expert = None,
    dtype: options.Dtype = "auto",
    limit: options.Limit = None,
    max_tokens: options.MaxTokens = 96,
    block_length: options.BlockLength = None,
    temperature: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=100.0,
            help="0: SPECULATIVE against EXPERT, with the logit gap of each difference. "
            "Above: each mode against itself at other block lengths, with the same seed",
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="For a temperature above 0")] = 1,
    out: options.Out = options.RESULTS,
) -> None:
    """Compare answers of the services that are equal on paper."""
    watch = Watch("bench.near_ties")
    models = choose_pair(pair, drafter, expert, dtype)
    prompts = read_prompts(models.expert, limit)
    check_room(prompts, max_tokens, models.context_length)
    if temperature:
        sampling = ask.Sampling(max_tokens, temperature, seed)
        with _services(models, len(prompts) * len(ask.MODES) * len(ask.BLOCK_LENGTHS)) as (c, bar):
            seeded = ask.seeded(c, prompts, sampling, bar)
        set_up = report.SetUp(watch.machine(), models.names, models.dtype, max_tokens)
        path = results.write(
            out,
            "block_lengths",
            report.seeded_markdown(set_up, sampling, seeded),
            report.seeded_json(set_up, sampling, seeded),
        )
    else:
        with _services(models, 2 * len(prompts)) as (c, bar):
            greedy = ask.greedy(c, prompts, max_tokens, block_length, bar)
        seen = views(models.expert, models.dtype, greedy)
        set_up = report.SetUp(watch.machine(), models.names, models.dtype, max_tokens)
        path = results.write(
            out,
            "near_ties",
            report.greedy_markdown(set_up, greedy, seen),
            report.greedy_json(set_up, greedy, seen),
        )
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


@contextmanager
def _services(pair: Pair, answers: int) -> Iterator[tuple[Client, Bar]]:
    """The services, and a bar for so many answers."""
    with progress_bar(answers) as bar:
        bar.say("loading")
        with running(pair) as address, Client(address) as client:
            yield client, bar


if __name__ == "__main__":
    options.run(near_ties)
