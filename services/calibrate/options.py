"""The options of ``cascade calibrate``, for both commands that have them.

All values are texts here: they are parsed and checked in one place (``services.calibrate.parse``),
which tells a mistake in one line.  This module is imported wherever the command line is, so it
needs neither torch nor gRPC.
"""

from typing import Annotated

import typer

Prompts = Annotated[
    str,
    typer.Argument(
        metavar="PROMPTS",
        help='Your prompts: .jsonl with a "prompt" or "text" in each line, or a prompt a line.',
    ),
]
Rule = Annotated[
    str | None, typer.Option(metavar="RULE", help="The rule to calibrate. Default: token_v3.")
]
Alphas = Annotated[
    str | None,
    typer.Option(metavar="A,A,...", help="Which alphas. Default: about 20 over the rule's range."),
]
MaxDistance = Annotated[
    str | None,
    typer.Option(metavar="D", help="Recommend the largest alpha that stays this near the expert."),
]
MaxExpertShare = Annotated[
    str | None,
    typer.Option(metavar="S", help="Recommend the smallest alpha that defers no more than this."),
]
Temperature = Annotated[str | None, typer.Option(metavar="T", help="0, the default, is greedy.")]
TopK = Annotated[
    str | None, typer.Option(metavar="K", help="Keep the K likeliest tokens. Default: 0, all.")
]
TopP = Annotated[
    str | None, typer.Option(metavar="P", help="Keep the likeliest tokens of mass P. Default: 1.")
]
Candidates = Annotated[
    str | None,
    typer.Option(metavar="K", help="Tokens that the drafter samples among. Default: 64."),
]
MaxTokens = Annotated[
    str | None, typer.Option(metavar="N", help="The most tokens of an answer. Default: 64.")
]
BlockLength = Annotated[
    str | None, typer.Option(metavar="N", help="Tokens drafted in a round. Default: 5.")
]
Seed = Annotated[
    str | None, typer.Option(metavar="N", help="Keys the randomness of the answers. Default: 0.")
]
Limit = Annotated[
    str | None, typer.Option(metavar="N", help="The first N prompts alone. Default: all.")
]
Plot = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Draw distance and acceptance over alpha: a .png."),
]
Raw = Annotated[bool, typer.Option("--raw", help="Continue the texts, without a chat template.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The router. Default: the one that runs here."),
]
DrafterAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The drafter, with the other two.")
]
ExpertAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The expert, with the other two.")
]
