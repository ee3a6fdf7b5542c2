"""Answers for people: tokens by their origin, a legend, a line of statistics.

What a model says is shown, never obeyed: no markup, and on a terminal no control characters.
"""

from collections import Counter
from collections.abc import Sequence

from cascade.v1 import law_pb2
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

from router.cli.answer import Answer, Token, origin_name
from router.cli.terminal import styled, visible
from services.serving.law import mode_name, rule_name

# Plain is the drafter's, underlined the drafter's by trust, bold the expert's: not by colour alone.
ORIGIN_STYLES = {
    "accepted": Style(color="green"),
    "trusted": Style(color="yellow", underline=True),
    "resampled": Style(color="red", bold=True),
    "bonus": Style(color="cyan", bold=True),
    "deferred": Style(color="magenta", bold=True),
    "drafter": Style(color="green"),
    "expert": Style(color="blue", bold=True),
}
ORIGIN_MEANINGS = {
    "accepted": "drafted, and the expert agrees",
    "trusted": "drafted, kept by the rule",
    "resampled": "the expert's, in place of a drafted one",
    "bonus": "the expert's, after a block accepted whole",
    "deferred": "the expert's, asked by the rule",
    "drafter": "the drafter's, alone",
    "expert": "the expert's, alone",
}


def print_tokens(console: Console, tokens: Sequence[Token]) -> None:
    """Prints tokens after what was printed before; as they are where there is no terminal."""
    text = visible if console.is_terminal else str
    segments = [
        Segment(text(token.text), ORIGIN_STYLES.get(origin_name(token.origin)))
        if styled(console)
        else Segment(text(token.text))
        for token in tokens
    ]
    console.print(Segments(segments), end="", soft_wrap=True)


def end_line(console: Console, answer: Answer) -> None:
    """Ends the answer's last line, if the answer has not."""
    if answer.tokens and not answer.text.endswith("\n"):
        console.print()


def print_legend(console: Console, answers: Sequence[Answer]) -> None:
    """The origins that occur, each with its number of tokens and what it means."""
    counts = Counter(origin for answer in answers for origin in answer.origins)
    for origin, meaning in ORIGIN_MEANINGS.items():
        if not counts[origin]:
            continue
        name = Text(f"{origin:9}", ORIGIN_STYLES[origin] if styled(console) else "")
        console.print(
            Text.assemble(name, f" {counts[origin]:4}  {meaning}"),
            soft_wrap=True,
            highlight=False,
        )


def law_line(answer: Answer) -> str:
    """Mode, rule and seed as the router carried them out."""
    law = answer.started.law
    parts = [mode_name(law.mode)]
    if law.rule:
        parts.append(rule_name(law.rule))
        if rule_name(law.rule) != "lossless":
            parts.append(f"alpha {law.alpha:g}")
    if law.form == law_pb2.FORM_GATE:
        parts.append("gate")
    if law.coupling == law_pb2.COUPLING_GUMBEL:
        parts.append("coupled")
    if law.temperature:
        parts += [f"temperature {law.temperature:g}", f"seed {law.seed}"]
    return ", ".join(parts)


def statistics_line(answer: Answer) -> str:
    """How a finished answer went, in one line."""
    if answer.finished is None:
        return f"{len(answer.tokens)} tokens, then cancelled"
    statistics = answer.finished.statistics
    parts = [
        law_line(answer),
        f"{len(answer.tokens)} tokens",
        f"{number(answer.tokens_per_second)} tokens/s",
        f"first after {statistics.time_to_first_token_ms / 1000:.2f} s",
    ]
    if statistics.HasField("distance") and statistics.distance:
        parts.append(f"distance {statistics.distance:.3f}")
    if statistics.HasField("acceptance_rate"):
        parts.append(f"acceptance {statistics.acceptance_rate:.2f}")
    parts.append(f"{statistics.tokens_per_round:.2f} tokens a round")
    if (share := answer.drafter_share) is not None:
        parts.append(f"{share:.0%} the drafter's")
    if statistics.may_change_expert_law:
        parts.append("may differ from the expert's law")
    return " · ".join(parts)


def number(value: float | None) -> str:
    """Two decimals; ``-`` for what is not known."""
    return "-" if value is None else f"{value:.2f}"
