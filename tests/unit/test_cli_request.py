"""From options to a request: what is not given stays unset."""

import io
import sys
from typing import get_args

import pytest
from cascade.v1 import law_pb2, router_pb2

from router.cli.errors import UsageError
from router.cli.options import ModeName, RuleName
from router.cli.request import Ask, read_prompt
from services.serving.law import mode_name, rule_name

FULL = Ask(
    prompt="hi",
    raw=True,
    mode="speculative_cascade",
    rule="token_v3",
    alpha=0.0,
    temperature=0.0,
    top_k=5,
    top_p=0.5,
    seed=0,
    max_tokens=7,
    stop=["a", "b"],
    block_length=3,
    early_stop=0.25,
    expert_alone=False,
)


def test_what_is_not_given_stays_unset() -> None:
    assert Ask("hi").request() == router_pb2.GenerateRequest(text="hi")
    assert [field.name for field, _ in Ask("hi").request().ListFields()] == ["text"]


def test_what_is_given_is_set_zeros_too() -> None:
    assert FULL.request() == router_pb2.GenerateRequest(
        text="hi",
        raw=True,
        mode=law_pb2.MODE_SPECULATIVE_CASCADE,
        rule=law_pb2.RULE_TOKEN_V3,
        alpha=0.0,
        temperature=0.0,
        top_k=5,
        top_p=0.5,
        seed=0,
        max_tokens=7,
        stop_strings=["a", "b"],
        block_length=3,
        early_stop=0.25,
        allow_expert_alone=False,
    )


def test_names_are_those_of_the_contract() -> None:
    assert list(get_args(ModeName)) == [mode_name(mode) for mode in law_pb2.Mode.values() if mode]
    assert list(get_args(RuleName)) == [rule_name(rule) for rule in law_pb2.Rule.values() if rule]


def test_rule_and_alpha_are_the_speculative_cascades_alone() -> None:
    other = FULL.of_mode("speculative", seed=9).request()
    assert (other.rule, other.HasField("alpha"), other.seed) == (0, False, 9)
    assert other.top_k == 5
    same = FULL.of_mode("speculative_cascade", seed=None).request()
    assert (same.rule, same.alpha, same.HasField("seed")) == (law_pb2.RULE_TOKEN_V3, 0.0, False)


@pytest.mark.parametrize("ask", [Ask("\udcff"), Ask("hi", stop=["\udcff"])])
def test_text_that_is_not_unicode_is_refused(ask: Ask) -> None:
    with pytest.raises(UsageError, match="not valid UTF-8"):
        ask.request()


class Stdin(io.TextIOWrapper):
    """Standard input with some content."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("given", [None, "-"])
def test_prompts_come_from_standard_input(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("é\n\n".encode()))
    assert read_prompt(given) == "é\n"


def test_a_given_prompt_leaves_standard_input_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = Stdin(b"other")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read_prompt("hi\n") == "hi\n"
    assert stdin.read() == "other"


def test_nobody_waits_for_a_prompt_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"", terminal=True))
    with pytest.raises(UsageError, match="no prompt"):
        read_prompt(None)


def test_standard_input_that_is_not_utf8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"\xff"))
    with pytest.raises(UsageError, match="not valid UTF-8"):
        read_prompt("-")
