"""``python -m bench.network``: round trips, acceptance, block lengths, with and without overlap."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from bench import options, results
from bench.machine import Watch
from bench.network import predicted
from bench.network.measure import (
    Chosen,
    Measured,
    bare_trip_ms,
    measure,
    measure_alone,
    measure_chosen,
)
from bench.network.plot import save_plot
from bench.network.predicted import Overlap, Point, Times, rate, tokens_within
from bench.network.report import Place, Run, to_json, to_markdown
from bench.network.services import network
from bench.progress import progress_bar

IMAGES = Path("docs/images")
ACCEPTANCES = (0.6, 0.75, 0.85, 0.95)
ROUND_TRIPS_MS = (0.0, 1.0, 10.0, 40.0)
BLOCK_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
AHEADS = (0, 1)
_BARE_S = 3.0
ALTERNATIVES = (0, 1)


def run_network(
    acceptance: Annotated[
        list[float] | None,
        typer.Option(min=0, max=0.99, help="Per position", show_default=str(ACCEPTANCES)),
    ] = None,
    round_trip_ms: Annotated[
        list[float] | None,
        typer.Option(min=0, help="Of each link", show_default=str(ROUND_TRIPS_MS)),
    ] = None,
    block_length: Annotated[
        list[int] | None,
        typer.Option(min=1, max=64, help="Of a round", show_default=str(BLOCK_LENGTHS)),
    ] = None,
    ahead: Annotated[
        list[int] | None,
        typer.Option(min=0, max=8, help="Blocks drafted ahead", show_default=str(AHEADS)),
    ] = None,
    alternatives: Annotated[
        list[int] | None,
        typer.Option(
            min=0, max=8, help="Prepared for, where it drafts ahead", show_default=str(ALTERNATIVES)
        ),
    ] = None,
    foreseen: Annotated[
        float, typer.Option(min=0, max=1, help="Rejected tokens that are the drafter's next-best")
    ] = 0.6,
    draft_ms: Annotated[float, typer.Option(min=0, help="Of a drafted token")] = 4.0,
    pass_ms: Annotated[float, typer.Option(min=0.1, help="Of a pass of the expert")] = 30.0,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Of an answer, about; where the router chooses, twice")
    ] = 3.0,
    repeats: Annotated[int, typer.Option(min=1, help="Answers at each point")] = 3,
    out: options.Out = options.RESULTS,
    images: Annotated[Path, typer.Option(help="Folder of the picture")] = IMAGES,
) -> None:
    """Measure one session of simulated models over simulated links, and predict each point."""
    watch = Watch("bench.network")
    times = Times(draft_ms, pass_ms)
    trips = round_trip_ms or list(ROUND_TRIPS_MS)
    acceptances = acceptance or list(ACCEPTANCES)
    found: list[Measured] = []
    bare_trips: dict[Place, float] = {}
    alone: dict[Place, float] = {}
    chosen: dict[tuple[Place, Overlap], Chosen] = {}
    overlaps = [
        Overlap(k, known)
        for k in ahead or AHEADS
        for known in (alternatives or ALTERNATIVES)
        if k or not known
    ]
    per_place = 2 + len(overlaps) * (1 + (2 + len(block_length or BLOCK_LENGTHS)) * repeats)
    with progress_bar(len(acceptances) * len(trips) * per_place) as bar:
        for a in acceptances:
            bar.say(f"acceptance {a:g}: starting the services")
            with network(times, a, foreseen) as net:
                for trip in trips:
                    bar.say(f"acceptance {a:g}, round trip {trip:g} ms")
                    router, link = net.over(trip)
                    points = [
                        Measured(Point(a, trip, n, overlap))
                        for n in block_length or BLOCK_LENGTHS
                        for overlap in overlaps
                    ]
                    # Of each length the same answers, whatever the overlap.
                    fastest: dict[int, float] = defaultdict(float)
                    for m in points:
                        expected = rate(times, m.point, foreseen)
                        length = m.point.block_length
                        fastest[length] = max(fastest[length], expected)
                    bare_trip = bare_trips[trip, a] = bare_trip_ms(router, link, times, _BARE_S)
                    bar.advance()
                    streamed = tokens_within(predicted.alone(times), seconds)
                    alone[trip, a] = measure_alone(router, streamed, seed=1)
                    bar.advance()
                    for repeat in range(repeats):
                        for point in points:
                            length = point.point.block_length
                            tokens = tokens_within(fastest[length], seconds)
                            measure(router, times, point, tokens, repeat, bare_trip)
                            bar.advance()
                    found += points
                    expected = max(*fastest.values(), predicted.alone(times))
                    tokens = tokens_within(expected, 2 * seconds)
                    for overlap in overlaps:
                        at = [m for m in points if m.point.overlap == overlap]
                        best = max(at, key=lambda m: m.rate).point.block_length
                        one = chosen[(trip, a), overlap] = Chosen(best)
                        for _ in measure_chosen(router, overlap, one, tokens, repeats):
                            bar.advance()
    run = Run(
        machine=watch.machine(),
        times=times,
        foreseen=foreseen,
        seconds=seconds,
        repeats=repeats,
        bare_trips=dict(sorted(bare_trips.items())),
        alone=dict(sorted(alone.items())),
        chosen=chosen,
        measured=sorted(found, key=lambda m: (m.point.round_trip_ms, m.point.acceptance)),
    )
    picture = save_plot(run, images)
    markdown = to_markdown(run, os.path.relpath(picture, out))
    path = results.write(out, "network", markdown, to_json(run))
    print(path.read_text())
    print(f"Written to {path}, {path.with_suffix('.json')} and {picture}")


if __name__ == "__main__":
    options.run(run_network)
