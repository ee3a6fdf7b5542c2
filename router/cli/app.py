"""The command ``cascade``: its commands and their options.  Each command's module does the work."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from router.cli import options
from router.cli.errors import CliError

app = typer.Typer(
    help="Speculative cascades: a drafter, an expert and a router, here on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The pairs of models: list and fetch them.", no_args_is_help=True)
app.add_typer(models_app, name="models")

ServiceName = Literal["drafter", "expert", "router"]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the models run.")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="Precision; auto is bfloat16 where the hardware multiplies it."),
]
ModelsDir = Annotated[
    str | None,
    typer.Option("--dir", help="Folder of models. Default: $CASCADE_MODELS_DIR, or .models."),
]


@app.command()
def up(
    pair: Annotated[
        str | None, typer.Option(metavar="NAME", help="A pair of models.toml. Default: as there.")
    ] = None,
    drafter: Annotated[
        Path | None, typer.Option(help="In place of a pair: folder of the drafter.")
    ] = None,
    expert: Annotated[
        Path | None, typer.Option(help="In place of a pair: folder of the expert.")
    ] = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65535, help="The router's port. Default: 50050."),
    ] = None,
) -> None:
    """Start drafter, expert and router here, and wait until they serve."""
    from router.cli.up import Wanted, up

    raise typer.Exit(up(Wanted(pair, drafter, expert, dtype, device, port)))


@app.command()
def status(as_json: options.Json = False) -> None:
    """Show the services; exit status 0 if all serve."""
    from router.cli.status import status

    raise typer.Exit(status(as_json=as_json))


@app.command()
def down(
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that running answers get to finish.")
    ] = 15.0,
) -> None:
    """Stop the services."""
    from router.cli.down import down

    raise typer.Exit(down(grace))


@app.command()
def logs(
    service: Annotated[ServiceName | None, typer.Argument(help="One service alone.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Last lines of each.")] = 20,
) -> None:
    """Show what the services have written."""
    from router.cli.logs import logs

    raise typer.Exit(logs(service, follow=follow, lines=lines))


@app.command()
def generate(
    prompt: options.Prompt = None,
    mode: options.Mode = None,
    rule: options.Rule = None,
    alpha: options.Alpha = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    max_tokens: options.MaxTokens = None,
    stop: options.Stop = None,
    block_length: options.BlockLength = None,
    raw: options.Raw = False,
    as_json: options.Json = False,
    address: options.Address = None,
) -> None:
    """Answer a prompt; each token is coloured by who it came from."""
    from router.cli.generate import generate
    from router.cli.request import Ask, read_prompt

    ask = Ask(
        prompt=read_prompt(prompt),
        raw=raw,
        mode=mode,
        rule=rule,
        alpha=alpha,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        stop=stop or (),
        block_length=block_length,
    )
    raise typer.Exit(generate(ask, address=address, as_json=as_json))


@app.command()
def compare(
    prompt: options.Prompt = None,
    rule: options.Rule = None,
    alpha: options.Alpha = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    max_tokens: options.MaxTokens = None,
    stop: options.Stop = None,
    block_length: options.BlockLength = None,
    raw: options.Raw = False,
    as_json: options.Json = False,
    address: options.Address = None,
) -> None:
    """Answer a prompt in four modes; compare their speed, and their agreement with the expert.

    Rule and alpha are for the speculative cascade alone.
    """
    from router.cli.compare import compare
    from router.cli.request import Ask, read_prompt

    ask = Ask(
        prompt=read_prompt(prompt),
        raw=raw,
        rule=rule,
        alpha=alpha,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        stop=stop or (),
        block_length=block_length,
    )
    raise typer.Exit(compare(ask, address=address, as_json=as_json))


@models_app.command("list")
def list_models(directory: ModelsDir = None) -> None:
    """Show the pairs, and what of them is present."""
    from router.cli.models import models

    models("list", *([f"--dir={directory}"] if directory else []))


@models_app.command("fetch")
def fetch_models(
    pair: Annotated[
        str | None, typer.Argument(help="The pair. Default: as in models.toml.")
    ] = None,
    directory: ModelsDir = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the downloaded files.")] = False,
) -> None:
    """Download a pair, check it, and convert it; go on where a fetch stopped."""
    from router.cli.models import models

    options = [f"--dir={directory}"] if directory else []
    models("fetch", *options, *(["--keep"] if keep else []), *(["--", pair] if pair else []))


def main() -> None:
    """Runs a command; what goes wrong is one line on standard error."""
    try:
        app()
    except CliError as error:
        from router.cli.terminal import visible

        print(f"cascade: {visible(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
