"""Options that the commands share, and their common end."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from transformers.utils import logging as transformers_logging

from bench.errors import BenchError
from services.errors import CascadeError
from services.models.errors import ModelsError

RESULTS = Path("bench/results")

Pair = Annotated[str | None, typer.Option(help="Pair of models.toml", show_default="its default")]
Drafter = Annotated[Path | None, typer.Option(help="Folder of the drafter, with --expert")]
Expert = Annotated[Path | None, typer.Option(help="Folder of the expert, with --drafter")]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16; the same for every system")]
DrafterWeights = Annotated[
    str,
    typer.Option(
        help="What our drafter's weights are kept in: auto, bfloat16, bfloat16+float16, int8, int4"
    ),
]
ExpertWeights = Annotated[
    str, typer.Option(help="The same of our expert: int8 and int4 make it another model")
]
DraftVocabulary = Annotated[
    int, typer.Option(min=0, help="Tokens that our drafter may say, the most common; 0: all")
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Problems, of every 20th", show_default="all")
]
MaxTokens = Annotated[int, typer.Option(min=1, help="New tokens of an answer")]
Out = Annotated[Path, typer.Option(help="Folder of the results")]
BlockLength = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Tokens drafted in a round", show_default="the router's"),
]


def run(command: Callable[..., None]) -> None:
    """Runs a command; a failure is one line on standard error and exit status 2.

    SIGTERM ends it as Ctrl-C does, so that the services that it started end with it.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # Its bars and hints would run into our own.
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        typer.run(command)
    except (BenchError, ModelsError, CascadeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
