"""``python -m bench.overload``: a router that is asked for ten times of what it carries."""

import asyncio
from typing import Annotated

import typer

from bench import options, results
from bench.machine import Watch
from bench.overload.measure import measure
from bench.overload.report import Run, to_json, to_markdown
from bench.overload.services import limited


def overload(
    sessions: Annotated[int, typer.Option(min=1, help="The router's --max-sessions")] = 8,
    waiting: Annotated[int, typer.Option(min=0, help="Its --max-waiting")] = 8,
    times: Annotated[float, typer.Option(min=1, help="Of the peak, offered")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement")] = 30.0,
    out: options.Out = options.RESULTS,
) -> None:
    """Measure refusals and goodput of a router that is offered a multiple of what it carries."""
    watch = Watch("bench.overload")
    with limited(sessions, waiting) as address:
        measured = asyncio.run(measure(address, sessions, times, seconds))
    run = Run(watch.machine(), sessions, waiting, times, measured)
    path = results.write(out, "overload", to_markdown(run), to_json(run))
    print(path.read_text())
    print(f"Written to {path} and {path.with_suffix('.json')}")


if __name__ == "__main__":
    options.run(overload)
