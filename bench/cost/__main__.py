"""``python -m bench.cost``: device time, cost and pods of every mode, from reports that exist."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bench import options, results
from bench.cost.demand import Load, Parts
from bench.cost.given import given_mode, read_times
from bench.cost.measured import NAMES, Gains, Measured
from bench.cost.mix import parse_mix
from bench.cost.plot import save_plot
from bench.cost.report import Run, to_json, to_markdown
from bench.errors import BadOption
from bench.machine import Watch

IMAGES = Path("docs/images")
LOADS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)


def cost(
    load: Annotated[
        list[float] | None, typer.Option(help="Requests a second", show_default=str(LOADS))
    ] = None,
    answer_tokens: Annotated[float, typer.Option(min=1, help="Of an answer, in the mean")] = 256,
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=1, help="The most of its time that a device is busy")
    ] = 0.7,
    price_drafter: Annotated[float, typer.Option(min=0, help="Of a drafter's device hour")] = 1.0,
    price_expert: Annotated[float, typer.Option(min=0, help="Of an expert's device hour")] = 1.0,
    gains: Annotated[
        Gains, typer.Option(help="Report that has several sessions at once beside one")
    ] = "streams",
    mix: Annotated[
        str | None, typer.Option(help="A mixture of modes, as cascade=0.8,expert=0.2")
    ] = None,
    times: Annotated[
        Path | None, typer.Option(help="JSON file of step times of another machine")
    ] = None,
    results_folder: Annotated[
        Path, typer.Option("--results", help="Folder of the reports to read")
    ] = options.RESULTS,
    out: options.Out = options.RESULTS,
    images: Annotated[Path, typer.Option(help="Folder of the picture")] = IMAGES,
) -> None:
    """Work out device time, cost and pods of every mode from what other benches measured."""
    watch = Watch("bench.cost")
    if not all(0 < requests < float("inf") for requests in load or LOADS):
        raise BadOption("--load must be above 0")
    if not price_drafter + price_expert:
        raise BadOption("--price-drafter and --price-expert can't both be 0")
    given = read_times(times) if times else None
    measured = Measured(results_folder)
    if given:
        modes = [given_mode(name, given, measured) for name in NAMES]
    else:
        modes = [measured.mode(name, gains) for name in NAMES]
    if mix:
        modes.append(parse_mix(mix, modes))
    run = Run(
        machine=watch.machine(),
        sources=measured.sources,
        models=measured.models,
        modes=modes,
        counts={name: measured.counts(name) for name in NAMES if name != "drafter"},
        prices=Parts(price_drafter, price_expert),
        loads=[Load(r, answer_tokens, utilisation) for r in sorted(load or LOADS)],
        times=given,
    )
    picture = save_plot(run, images)
    markdown = to_markdown(run, os.path.relpath(picture, out))
    path = results.write(out, "cost", markdown, to_json(run))
    print(path.read_text())
    print(f"Written to {path}, {path.with_suffix('.json')} and {picture}")


if __name__ == "__main__":
    options.run(cost)
