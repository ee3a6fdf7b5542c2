"""What a model says is shown, not obeyed; who said it is told by more than colour."""

import io
import unicodedata

import pytest
from cascade.v1 import expert_pb2, law_pb2, router_pb2
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from router.cli.answer import origin_name
from router.cli.render import (
    ORIGIN_MEANINGS,
    ORIGIN_STYLES,
    print_legend,
    print_tokens,
    statistics_line,
)
from router.cli.terminal import visible
from tests.unit.cli_fakes import ANSWER
from tests.unit.test_cli_answer import answer

TOKENS = [router_pb2.GeneratedToken(id=i, text=text, origin=o) for i, text, o in ANSWER]
TEXT = "".join(text for _, text, _ in ANSWER)


def console(*, terminal: bool, no_color: bool = False) -> tuple[Console, io.StringIO]:
    """A console of 20 columns, and what it prints."""
    file = io.StringIO()
    return Console(
        file=file,
        force_terminal=terminal,
        no_color=no_color,
        color_system="truecolor" if terminal else None,
        width=20,
    ), file


@given(st.text())
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069")


def test_other_text_stays() -> None:
    text = "a\tb\n日本 👩‍🚀 é [bold]x[/bold] \\x1b"
    assert visible(text) == text
    assert visible("\x1b[31mred\x07\r\n\x9b") == "\\x1b[31mred\\x07\n\\x9b"


def test_tokens_on_a_terminal_are_styled_and_neither_markup_nor_controls_work() -> None:
    out, file = console(terminal=True)
    print_tokens(out, TOKENS)
    printed = file.getvalue()
    assert "\x1b[32mBuzz\x1b[0m" in printed
    assert "\x1b[4;33m [bold]Al\x1b[0m" in printed
    assert "\x1b[1;31mdrin\\x1b[2J\x1b[0m" in printed
    assert "\x1b[2J" not in printed


def test_long_lines_are_neither_wrapped_nor_cut() -> None:
    out, file = console(terminal=False)
    long = router_pb2.GeneratedToken(text="word " * 30, origin=expert_pb2.ORIGIN_EXPERT)
    for _ in range(2):
        print_tokens(out, [long])
    assert file.getvalue() == "word " * 60


def test_without_a_terminal_text_is_left_as_it_is() -> None:
    out, file = console(terminal=False)
    print_tokens(out, TOKENS)
    assert file.getvalue() == TEXT


def test_no_color_prints_plain_text() -> None:
    out, file = console(terminal=True, no_color=True)
    print_tokens(out, TOKENS)
    print_legend(out, [answer(*ANSWER)])
    assert file.getvalue().startswith(visible(TEXT))
    assert "\x1b" not in file.getvalue()


def test_every_origin_has_a_style_of_its_own_and_a_meaning() -> None:
    names = [origin_name(origin) for origin in expert_pb2.Origin.values() if origin]
    assert list(ORIGIN_STYLES) == list(ORIGIN_MEANINGS) == names
    shared = {"accepted", "drafter"}  # never in one answer but where the expert is lost
    styles = {str(style) for name, style in ORIGIN_STYLES.items() if name not in shared}
    assert len(styles) == len(names) - len(shared)
    for name, style in ORIGIN_STYLES.items():
        word_is_the_experts = name in {"resampled", "bonus", "deferred", "expert"}
        assert bool(style.bold) == word_is_the_experts


def test_the_legend_counts_what_occurs() -> None:
    out, file = console(terminal=False)
    print_legend(out, [answer(*ANSWER), answer(*ANSWER[:1])])
    lines = [line.split() for line in file.getvalue().splitlines()]
    assert [line[:2] for line in lines] == [["accepted", "3"], ["trusted", "1"], ["resampled", "1"]]


def test_the_line_of_statistics() -> None:
    found = answer(*ANSWER)
    assert found.finished is not None
    found.started.law.mode = law_pb2.MODE_SPECULATIVE_CASCADE
    found.started.law.rule = law_pb2.RULE_TOKEN_V3
    found.started.law.alpha, found.started.law.temperature = 0.5, 1.0
    statistics = found.finished.statistics
    statistics.tokens_per_round, statistics.acceptance_rate = 2.0, 0.875
    statistics.time_to_first_token_ms = 250
    line = statistics_line(found)
    assert line.split(" · ") == [
        f"speculative_cascade, token_v3, alpha 0.5, temperature 1, seed {2**64 - 1}",
        "4 tokens",
        "8.00 tokens/s",
        "first after 0.25 s",
        "acceptance 0.88",
        "2.00 tokens a round",
        "75% the drafter's",
    ]
    statistics.may_change_expert_law = True
    statistics.ClearField("acceptance_rate")
    assert statistics_line(found).endswith("may differ from the expert's law")
    assert "acceptance" not in statistics_line(found)


def test_an_empty_answer_has_statistics_too() -> None:
    found = answer()
    assert found.finished is not None
    found.finished.statistics.total_ms = 0
    assert "0 tokens · - tokens/s" in statistics_line(found)
    assert "drafter's" not in statistics_line(found)


@pytest.mark.parametrize("count", [0, 2])
def test_a_cancelled_answer_says_so(count: int) -> None:
    found = answer(*ANSWER[:count])
    found.finished = None
    assert statistics_line(found) == f"{count} tokens, then cancelled"
