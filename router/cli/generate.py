"""``cascade generate``: one answer, streamed."""

import json

from rich.console import Console

from router.cli.answer import Answer
from router.cli.client import Target, find_router, generating
from router.cli.errors import INTERRUPTED, CallFailed
from router.cli.render import end_line, print_legend, print_tokens, statistics_line
from router.cli.request import Ask
from router.cli.state import StateStore


def generate(ask: Ask, *, address: str | None, as_json: bool) -> int:
    """Answers on standard output; legend and statistics go to standard error.

    Returns:
        The exit status: 0, or 130 where Ctrl-C cancelled the call.

    Raises:
        CliError: there is no router, or it refused or lost the call.
    """
    out, notes = Console(), Console(stderr=True)
    answer = Answer()
    where = find_router(address, StateStore.default())
    try:
        interrupted = not receive(ask, where, answer, None if as_json else out)
    except CallFailed:
        if as_json and answer.tokens:
            print(json.dumps(answer.plain(unfinished="failed"), ensure_ascii=False))
        raise
    if as_json:
        print(json.dumps(answer.plain(), ensure_ascii=False))
    else:
        print_legend(notes, [answer])
        notes.print(statistics_line(answer), markup=False, highlight=False, soft_wrap=True)
    return INTERRUPTED if interrupted else 0


def receive(ask: Ask, target: Target, answer: Answer, out: Console | None) -> bool:
    """Fills ``answer`` as it comes, and prints its tokens on ``out`` if there is one.

    Returns:
        Whether it came to its end; False: Ctrl-C cancelled it.

    Raises:
        CliError: the router refused or lost the call.
    """
    try:
        with generating(target, ask.request()) as call:
            for response in call:
                tokens = answer.take(response)
                if out and tokens:
                    print_tokens(out, tokens)
    except KeyboardInterrupt:
        return False
    finally:
        if out:
            end_line(out, answer)
    return True
