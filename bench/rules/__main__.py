"""``python -m bench.rules``: every rule over its alphas, on the default pair and the tiny one."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench import options
from bench.errors import BadOption, ServiceFailed
from bench.machine import Watch
from bench.pair import choose_pair
from bench.progress import Bar, progress_bar
from bench.results import write
from bench.rules.measure import Curves, measure
from bench.rules.plot import save_plot
from bench.rules.prompts import TINY_PAIR, prompts_of
from bench.rules.report import to_json, to_markdown
from bench.services import running_services
from services.calibrate.errors import CalibrationError
from services.calibrate.prompts import Prompt
from services.calibrate.services import Addresses, connected
from services.calibrate.setting import Setting
from services.models.catalog import Catalog

IMAGES = Path("docs/images")
TEMPERATURES = (0.0, 1.0)


def rules(
    pair: Annotated[
        list[str] | None,
        typer.Option(help="Pairs of models.toml", show_default="its default, and tiny"),
    ] = None,
    dtype: options.Dtype = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Prompts of each pair", show_default="all")
    ] = None,
    max_tokens: options.MaxTokens = 64,
    block_length: Annotated[int, typer.Option(min=1, max=64, help="Tokens drafted in a round")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="For the temperature above 0")] = 0,
    out: options.Out = options.RESULTS,
    images: Annotated[Path, typer.Option(help="Folder of the pictures")] = IMAGES,
) -> None:
    """Evaluate every rule over its alphas, at temperature 0 and 1."""
    watch = Watch("bench.rules")
    pairs = list(dict.fromkeys(pair or [Catalog.load().default, TINY_PAIR]))
    if limit is not None and limit < 2:
        raise BadOption(f"--limit must be at least 2, for a bound over prompts, got {limit}")
    setting = Setting(max_tokens=max_tokens, block_length=block_length, seed=seed)
    asked = {name: prompts_of(name, limit) for name in pairs}
    answers = sum(len(prompts) for _, prompts in asked.values()) * len(TEMPERATURES)
    found: list[Curves] = []
    with progress_bar(answers) as bar:
        for name in pairs:
            found += _of_pair(name, dtype, asked[name], setting, bar)
    pictures = [save_plot(curves, images) for curves in found]
    machine = watch.machine()
    path = write(
        out,
        "rules",
        to_markdown(machine, found, [os.path.relpath(picture, out) for picture in pictures]),
        to_json(machine, found),
    )
    print(path.read_text())
    print(f"Written to {path}, {path.with_suffix('.json')} and {', '.join(map(str, pictures))}")


def _of_pair(
    name: str, dtype: str, asked: tuple[str, list[Prompt]], setting: Setting, bar: Bar
) -> list[Curves]:
    """Both temperatures of one pair, with services of its own."""
    bar.say(f"{name}: loading")
    found = []
    with running_services(choose_pair(name, None, None, dtype)) as where:
        addresses = Addresses(where.router, where.drafter, where.expert)
        with connected(addresses) as services:
            for temperature in TEMPERATURES:
                bar.say(f"{name}, temperature {temperature:g}: answering and scoring")
                heated = replace(setting, temperature=temperature)
                try:
                    found.append(measure(services, name, *asked, heated, bar))
                except CalibrationError as error:
                    raise ServiceFailed(str(error)) from error
    return found


if __name__ == "__main__":
    options.run(rules)
