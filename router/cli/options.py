"""The options of ``generate`` and ``compare``.  What is not given is left to the router."""

from typing import Annotated, Literal, get_args

import typer

UINT32_MAX = (1 << 32) - 1
UINT64_MAX = (1 << 64) - 1

ModeName = Literal[
    "drafter",
    "expert",
    "sequence_cascade",
    "token_cascade",
    "speculative",
    "speculative_cascade",
]
RuleName = Literal[
    "lossless",
    "lossy",
    "bild",
    "ensemble",
    "chow",
    "chow_log",
    "diff",
    "opt",
    "token_v1",
    "token_v2",
    "token_v3",
]

FormName = Literal["residual", "gate"]
CouplingName = Literal["independent", "gumbel"]

Prompt = Annotated[
    str | None,
    typer.Argument(help="What to answer; - or nothing reads it from standard input."),
]
Mode = Annotated[
    ModeName | None,
    typer.Option(
        metavar="MODE", help=f"Who decides: {', '.join(get_args(ModeName))}. Default: the last."
    ),
]
Rule = Annotated[
    RuleName | None,
    typer.Option(
        metavar="RULE",
        help=f"The deferral rule: {', '.join(get_args(RuleName))}. Default: the mode's.",
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(metavar="A", help="Leniency: larger trusts the drafter more."),
]
Form = Annotated[
    FormName | None,
    typer.Option(
        metavar="FORM",
        help="How a rejected token is replaced: residual, the default, or gate. One law.",
    ),
]
Coupling = Annotated[
    CouplingName | None,
    typer.Option(
        metavar="COUPLING",
        help="independent, the default, or gumbel: lossless answers are then the expert's own.",
    ),
]
Candidates = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=0,
        max=UINT32_MAX,
        help="The drafter samples among its K likeliest tokens. Default: 64.",
    ),
]
ConfidenceQuantile = Annotated[
    float | None,
    typer.Option(
        metavar="Q",
        help="For sequence_cascade: judge by this quantile of log-probabilities, not their mean.",
    ),
]
ExpertAlone = Annotated[
    bool | None,
    typer.Option(
        "--expert-alone/--no-expert-alone",
        show_default=False,
        help="Whether the expert may go on alone where speculation does not pay. "
        "Default: yes where the rule is lossless.",
    ),
]
LogProbs = Annotated[
    bool,
    typer.Option("--log-probs", help="With --json: log-probabilities under both models and pi."),
]
Temperature = Annotated[float | None, typer.Option(metavar="T", help="0, the default, is greedy.")]
TopK = Annotated[
    int | None,
    typer.Option(metavar="K", min=0, max=UINT32_MAX, help="Keep the K likeliest tokens."),
]
TopP = Annotated[
    float | None, typer.Option(metavar="P", help="Keep the likeliest tokens of mass P.")
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, max=UINT64_MAX, help="Keys the randomness of an answer."),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, max=UINT32_MAX, help="The most tokens to answer. Default: 512."
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="End before this text; may be given more than once."),
]
BlockLength = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=UINT32_MAX,
        help="Tokens drafted in a round. Default: the router chooses.",
    ),
]
EarlyStop = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="End a draft after a token whose top probability is below this; 0: never. "
        "Default: the router chooses where a draft ends, or with --block-length 0.",
    ),
]
Raw = Annotated[bool, typer.Option("--raw", help="Continue the text, without a chat template.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The router. Default: the one that runs here."),
]
