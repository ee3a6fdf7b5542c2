"""The command ``cascade``: its commands and their options.  Each command's module does the work."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from router.cli import options
from router.cli.errors import CliError
from services.calibrate import options as calibration

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The pairs of models: list and fetch them.", no_args_is_help=True)
app.add_typer(models_app, name="models")
keys_app = typer.Typer(help="API keys of a router: make them.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

ServiceName = Literal["drafter", "expert", "router"]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the models run.")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="Precision; auto is bfloat16 where the hardware multiplies it."),
]
Weights = Literal["auto", "bfloat16", "bfloat16+float16", "int8", "int4"]
_WEIGHTS = "what they are kept in; auto rounds nothing, bfloat16+float16 takes twice the memory."
ModelsDir = Annotated[
    str | None,
    typer.Option("--dir", help="Folder of models. Default: $CASCADE_MODELS_DIR, or .models."),
]


@app.callback()
def access(
    tls_ca: Annotated[
        str, typer.Option(metavar="FILE", help="With --address: the authority to believe; TLS.")
    ] = "",
    tls_cert: Annotated[
        str, typer.Option(metavar="FILE", help="The certificate to show, where one is asked for.")
    ] = "",
    tls_key: Annotated[str, typer.Option(metavar="FILE", help="Its key.")] = "",
    tls_name: Annotated[
        str, typer.Option(metavar="NAME", help="In the router's certificate. Default: the host.")
    ] = "",
) -> None:
    """Speculative cascades: a drafter, an expert and a router, here on this machine.

    A router that wants an API key is given it in $CASCADE_API_KEY, or in a file that
    $CASCADE_API_KEY_FILE names.  The options of TLS are CASCADE_TLS_CA and so on there.
    """
    if tls_ca or tls_cert or tls_key or tls_name:
        from router.cli.access import remember

        remember(tls_ca, tls_cert, tls_key, tls_name)


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
    drafter_weights: Annotated[Weights, typer.Option(help="Of the drafter: " + _WEIGHTS)] = "auto",
    expert_weights: Annotated[
        Weights, typer.Option(help="Of the expert, whose law int8 and int4 change: " + _WEIGHTS)
    ] = "auto",
    draft_vocabulary: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Tokens that the drafter may say, the most common. 0: all."
        ),
    ] = 0,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="The router's port. Default: 50050. 0: a free one.",
        ),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="No models: synthetic tokens and step times.")
    ] = False,
    agreement: Annotated[
        float, typer.Option(min=0, max=1, help="Simulated: how often the two agree.")
    ] = 0.8,
    drafter_ms: Annotated[
        float, typer.Option(min=0, help="Simulated: the drafter's step, milliseconds.")
    ] = 4.0,
    expert_ms: Annotated[
        float, typer.Option(min=0, help="Simulated: the expert's step, milliseconds.")
    ] = 30.0,
) -> None:
    """Start drafter, expert and router here, and wait until they serve."""
    from router.cli.pods import Simulated
    from router.cli.up import Wanted, up

    raise typer.Exit(
        up(
            Wanted(
                pair,
                drafter,
                expert,
                dtype,
                device,
                drafter_weights,
                expert_weights,
                draft_vocabulary,
                port,
                Simulated(agreement, drafter_ms, expert_ms) if simulate else None,
            )
        )
    )


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
    early_stop: options.EarlyStop = None,
    form: options.Form = None,
    coupling: options.Coupling = None,
    candidates: options.Candidates = None,
    confidence_quantile: options.ConfidenceQuantile = None,
    expert_alone: options.ExpertAlone = None,
    log_probs: options.LogProbs = False,
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
        early_stop=early_stop,
        form=form,
        coupling=coupling,
        candidates=candidates,
        confidence_quantile=confidence_quantile,
        expert_alone=expert_alone,
        log_probs=log_probs,
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


@app.command()
def calibrate(
    prompts: calibration.Prompts,
    rule: calibration.Rule = None,
    alphas: calibration.Alphas = None,
    max_distance: calibration.MaxDistance = None,
    max_expert_share: calibration.MaxExpertShare = None,
    temperature: calibration.Temperature = None,
    top_k: calibration.TopK = None,
    top_p: calibration.TopP = None,
    candidates: calibration.Candidates = None,
    max_tokens: calibration.MaxTokens = None,
    block_length: calibration.BlockLength = None,
    seed: calibration.Seed = None,
    limit: calibration.Limit = None,
    plot: calibration.Plot = None,
    raw: calibration.Raw = False,
    as_json: calibration.Json = False,
    address: calibration.Address = None,
    drafter_address: calibration.DrafterAddress = None,
    expert_address: calibration.ExpertAddress = None,
) -> None:
    """Measure what each leniency of a rule costs and buys on your own prompts; recommend one."""
    from router.cli.calibrate import calibrate

    calibrate(
        prompts,
        {
            "--rule": rule,
            "--alphas": alphas,
            "--max-distance": max_distance,
            "--max-expert-share": max_expert_share,
            "--temperature": temperature,
            "--top-k": top_k,
            "--top-p": top_p,
            "--candidates": candidates,
            "--max-tokens": max_tokens,
            "--block-length": block_length,
            "--seed": seed,
            "--limit": limit,
            "--plot": plot,
            "--raw": raw,
            "--json": as_json,
        },
        {"router": address, "drafter": drafter_address, "expert": expert_address},
    )


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


@keys_app.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="Whose it is, for the router's logs and metrics.")],
    max_sessions: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Answers at once. Default: no limit.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of prompts and answers. Default: no limit."),
    ] = None,
) -> None:
    """Print a new API key, once, and its entry for the router's --api-keys-file."""
    from router.cli.keys import new

    new(name, max_sessions, tokens_per_minute)


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
