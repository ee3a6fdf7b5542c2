"""``python -m services.calibrate``: what ``cascade calibrate`` becomes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.calibrate import options
from services.calibrate.errors import BadOption, CalibrationError, UsageError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Address = Annotated[str, typer.Option(metavar="HOST:PORT")]


@app.command()
def calibrate(
    prompts: options.Prompts,
    address: Address,
    drafter_address: Address,
    expert_address: Address,
    rule: options.Rule = None,
    alphas: options.Alphas = None,
    max_distance: options.MaxDistance = None,
    max_expert_share: options.MaxExpertShare = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    candidates: options.Candidates = None,
    max_tokens: options.MaxTokens = None,
    block_length: options.BlockLength = None,
    seed: options.Seed = None,
    limit: options.Limit = None,
    plot: options.Plot = None,
    raw: options.Raw = False,
    as_json: options.Json = False,
) -> None:
    """Measure what each leniency of a rule costs and buys on your own prompts."""
    # Needs torch, matplotlib and scipy; --help does not.
    from services.calibrate.calibration import calibrate
    from services.calibrate.parse import parse_limit, parse_limits, parse_setting
    from services.calibrate.plain import plain
    from services.calibrate.plot import save_plot
    from services.calibrate.progress import progress_bars
    from services.calibrate.prompts import read_prompts
    from services.calibrate.report import print_report
    from services.calibrate.services import Addresses, connected

    texts = {
        "rule": rule,
        "alphas": alphas,
        "max-distance": max_distance,
        "max-expert-share": max_expert_share,
        "temperature": temperature,
        "top-k": top_k,
        "top-p": top_p,
        "candidates": candidates,
        "max-tokens": max_tokens,
        "block-length": block_length,
        "seed": seed,
        "limit": limit,
    }
    setting = parse_setting(texts, raw=raw)
    limits = parse_limits(texts, setting)
    picture = plot_path(plot)
    chosen = read_prompts(Path(prompts), parse_limit(texts))
    where = Addresses(address, drafter_address, expert_address)
    with connected(where) as services, progress_bars() as bars:
        found = calibrate(services, setting, limits, chosen, bars)
    if as_json:
        print(json.dumps(plain(found), allow_nan=False))
    else:
        print_report(found)
    if picture is not None:
        save_plot(found, picture)
    if limits and found.chosen is None:
        raise typer.Exit(1)


def plot_path(given: str | None) -> Path | None:
    """Where the picture goes; known to be writable before anything is measured.

    Raises:
        BadOption: not a .png in a folder that is there, or not to be written.
    """
    if given is None:
        return None
    path = Path(given)
    if path.suffix.lower() != ".png":
        raise BadOption("--plot", f"must be a .png file, got {given}")
    if not path.absolute().parent.is_dir():
        raise BadOption("--plot", f"must lie in a folder that is there, got {given}")
    try:
        path.open("ab").close()
    except OSError as error:
        raise BadOption("--plot", f"can't be written: {error.strerror}, got {given}") from error
    return path


def main() -> None:
    """Runs the command; what goes wrong is one line on standard error.  Ctrl-C: status 130."""
    try:
        app()
    except (CalibrationError, OSError) as error:
        status = error.exit_code if isinstance(error, CalibrationError) else UsageError.exit_code
        fail(str(error), status)
    except ModuleNotFoundError as error:
        extra = "pip install 'speculative-cascade[engine,calibrate]'"
        fail(f"{error.name} is missing: {extra}", UsageError.exit_code)


def fail(text: str, status: int) -> None:
    """One line without power over a terminal, and the end."""
    line = " ".join(text.split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    print(f"error: {shown}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
