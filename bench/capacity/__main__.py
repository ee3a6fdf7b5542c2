"""``python -m bench.capacity``: the rounds that one router process on one core carries."""

import asyncio
import os
from typing import Annotated

import typer

from bench import options, results
from bench.bare import Bare, bare
from bench.capacity.measure import Added, Load, added, load, sizes
from bench.capacity.report import Run, to_json, to_markdown
from bench.capacity.services import placed
from bench.machine import Watch
from bench.progress import progress_bar

SESSIONS = (1, 8, 64)


def capacity(
    sessions: Annotated[
        list[int] | None,
        typer.Option(min=1, max=256, help="At a time", show_default=str(SESSIONS)),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement")] = 10.0,
    repeats: Annotated[int, typer.Option(min=1, help="Of each measurement")] = 3,
    answers: Annotated[int, typer.Option(min=1, help="Of one session alone, a repeat")] = 10,
    agreement: Annotated[float, typer.Option(min=0, max=1, help="Of the two models")] = 0.8,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure how many rounds a second one router process carries, and what it adds to a round."""
    watch = Watch("bench.capacity")
    numbers = sessions or list(SESSIONS)
    loads: list[list[Load]] = [[] for _ in numbers]
    alone: list[Added] = []
    undecided: list[Load] = []
    limits: list[Bare] = []
    with progress_bar(repeats * (len(numbers) + 3)) as bar:
        bar.say("starting the services")
        with placed(agreement) as services:
            messages = asyncio.run(sizes(services))
            for _ in range(repeats):
                bar.say("one session")
                alone.append(asyncio.run(added(services, answers)))
                bar.advance()
                for number, into in zip(numbers, loads, strict=True):
                    bar.say(f"{number} sessions")
                    into.append(asyncio.run(load(services, number, seconds)))
                    bar.advance()
            own_core = services.own_core
        bar.say("starting peers that decide nothing")
        with placed(None) as services:
            for _ in range(repeats):
                bar.say(f"peers that decide nothing, {max(numbers)} sessions")
                undecided.append(asyncio.run(load(services, max(numbers), seconds)))
                bar.advance()
        for _ in range(repeats):
            bar.say(f"bare streams, {max(numbers)} sessions")
            cores = sorted(os.sched_getaffinity(0))
            limits.append(bare(messages, max(numbers), seconds, cores=cores))
            bar.advance()
    run = Run(
        watch.machine(), agreement, seconds, own_core, loads, alone, undecided, messages, limits
    )
    path = results.write(out, "capacity", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(capacity)
