"""``cascade compare``: one prompt in four modes, and a table of their speed and agreement."""

import json
from collections.abc import Mapping
from typing import Any

from cascade.v1 import router_pb2
from rich.console import Console
from rich.table import Table

from router.cli.answer import Answer, agreement, common_prefix
from router.cli.client import find_router
from router.cli.errors import INTERRUPTED
from router.cli.generate import receive
from router.cli.render import law_line, number, print_legend
from router.cli.request import Ask
from router.cli.state import StateStore
from router.cli.terminal import new_table, plain_console

MODES = ("drafter", "expert", "speculative", "speculative_cascade")


def compare(ask: Ask, *, address: str | None, as_json: bool) -> int:
    """Answers in each mode, one after another, all with one seed, then compares.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        CliError: there is no router, or it refused or lost a call.
    """
    out = Console()
    where = find_router(address, StateStore.default())
    answers: dict[str, Answer] = {}
    seed = ask.seed
    for mode in MODES:
        answer = answers[mode] = Answer()
        if not as_json:
            out.rule(mode, align="left")
        if not receive(ask.of_mode(mode, seed), where, answer, None if as_json else out):
            return INTERRUPTED
        seed = answer.started.law.seed
    if as_json:
        print(json.dumps({"seed": seed, "answers": plain(answers)}, ensure_ascii=False))
        return 0
    out.rule()
    print_legend(out, list(answers.values()))
    out.print()
    plain_console().print(table(answers), soft_wrap=False)
    out.print()
    out.print(
        f"agreement is with the expert's answer; {law_line(answers['speculative_cascade'])}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def plain(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """For JSON: the answers by mode, each with its agreement with the expert's."""
    expert = answers["expert"].ids
    return {
        mode: {
            **answer.plain(),
            "agreement": agreement(answer.ids, expert),
            "common_prefix": common_prefix(answer.ids, expert),
        }
        for mode, answer in answers.items()
    }


def table(answers: Mapping[str, Answer]) -> Table:
    """One row for each mode.

    Agreement is the number of leading tokens that equal the expert's answer, as a share of the
    longer of the two; tokens are counted from 1.
    """
    shown = new_table("mode")
    for name in (
        "tokens",
        "tokens/s",
        "first\ntoken",
        "acceptance",
        "tokens\na round",
        "agreement",
        "differs\nfrom",
    ):
        shown.add_column(name, justify="right", no_wrap=True)
    expert = answers["expert"].ids
    for mode, answer in answers.items():
        statistics = answer.finished.statistics if answer.finished else router_pb2.Statistics()
        known = statistics.HasField("acceptance_rate")
        same = answer.ids == expert
        shown.add_row(
            mode,
            str(len(answer.tokens)),
            number(answer.tokens_per_second),
            f"{statistics.time_to_first_token_ms / 1000:.2f} s",
            number(statistics.acceptance_rate if known else None),
            number(statistics.tokens_per_round),
            number(agreement(answer.ids, expert)),
            "-" if same else f"token {common_prefix(answer.ids, expert) + 1}",
        )
    return shown
