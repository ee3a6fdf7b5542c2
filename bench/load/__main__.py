"""``python -m bench.load``: what the router chooses when many sessions share an expert."""

import asyncio
from typing import Annotated

import typer

from bench import options, results
from bench.load.measure import WAYS, Made, measure
from bench.load.report import Place, Run, to_json, to_markdown
from bench.machine import Watch
from bench.network.predicted import Times
from bench.network.services import network
from bench.progress import progress_bar

SESSIONS = (1, 4, 16)
TOKENS_MS = (0.1, 1.0, 3.0)


def load(
    sessions: Annotated[
        list[int] | None,
        typer.Option(min=1, max=64, help="At a time", show_default=str(SESSIONS)),
    ] = None,
    token_ms: Annotated[
        list[float] | None,
        typer.Option(
            min=0, help="Of each token in a pass of the expert", show_default=str(TOKENS_MS)
        ),
    ] = None,
    agreement: Annotated[float, typer.Option(min=0, max=1, help="Of the two models")] = 0.85,
    learn: Annotated[float, typer.Option(min=0, help="Seconds that are not counted")] = 15.0,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement")] = 15.0,
    repeats: Annotated[int, typer.Option(min=1, help="Of each measurement")] = 1,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure many sessions at once, by what a token costs the expert beside its pass."""
    watch = Watch("bench.load")
    times = Times()
    made: dict[Place, dict[str, list[Made]]] = {}
    costs, numbers = token_ms or list(TOKENS_MS), sessions or list(SESSIONS)
    with progress_bar(len(costs) * len(numbers) * len(WAYS) * repeats) as bar:
        for cost in costs:
            with network(times, agreement, expert_token_ms=cost) as net:
                for count in numbers:
                    ways = made[Place(cost, count)] = {way.name: [] for way in WAYS}
                    for repeat in range(repeats):
                        for way in WAYS:
                            bar.say(f"{cost:g} ms a token, {count} sessions: {way.name}")
                            found = measure(
                                net.near,
                                way,
                                count,
                                learn_s=learn,
                                seconds=seconds,
                                seed=10_000 * repeat,
                            )
                            ways[way.name].append(asyncio.run(found))
                            bar.advance()
    run = Run(watch.machine(), times, agreement, learn, seconds, made)
    path = results.write(out, "load", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(load)
