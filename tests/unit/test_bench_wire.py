"""Bytes for each drafted token: sums, ratios, limits, the report."""

from typing import Any

import pytest
from cascade.v1 import drafter_pb2, law_pb2, router_pb2

from bench.prompts import Prompt
from bench.wire.cases import CASES, Case, Limits, Setting
from bench.wire.report import Run, above, to_json, to_markdown
from bench.wire.traffic import (
    Bytes,
    Measured,
    Traffic,
    described,
    prompt_bytes,
    row_bytes,
    traffic,
)
from services.rules.law import Crossing
from services.serving import law as laws
from tests.unit.test_bench_report import MACHINE, row

PROMPT = Prompt("HumanEval/0", (5, 300, 70_000), chat=True)
SETTING = Setting(max_tokens=64, seed=1, block_length=5)
CASE = Case(
    "token_v3 gate",
    law_pb2.MODE_SPECULATIVE_CASCADE,
    law_pb2.RULE_TOKEN_V3,
    law_pb2.FORM_GATE,
    limits=Limits(up=16, down=20),
)


def measured(**values: float) -> Measured:
    """20 drafted tokens; for each 10 and 20 bytes with the expert, 30 and 40 with the drafter."""
    total = {"expert_up": 200, "expert_down": 400, "drafter_up": 600, "drafter_down": 800}
    return Measured(
        law_pb2.Law(rule=law_pb2.RULE_TOKEN_V3, alpha=0.8),
        Crossing(),
        Traffic(answers=2, drafted=20, total=Bytes(**(total | {"prompt": 50} | values))),
    )


def test_bytes_and_drafted_tokens_add_up_over_answers() -> None:
    found = traffic(
        [
            (
                (1, 2),
                router_pb2.Statistics(
                    drafted=3,
                    expert_bytes_up=10,
                    expert_bytes_down=20,
                    drafter_bytes_up=30,
                    drafter_bytes_down=40,
                ),
            ),
            ((1,), router_pb2.Statistics(drafted=1, expert_bytes_up=2)),
        ]
    )
    assert (found.answers, found.drafted) == (2, 4)
    assert found.total == Bytes(12, 20, 30, 40, prompt=4 + 3)
    assert found.per_token == Bytes(3.0, 5.0, 7.5, 10.0, prompt=7 / 4)


def test_a_prompt_costs_its_field_with_either_peer() -> None:
    """One byte each for tag and length; ids of one, two and three bytes."""
    assert prompt_bytes(PROMPT.token_ids) == 2 + 1 + 2 + 3
    with_drafter = drafter_pb2.DraftStep(append=PROMPT.token_ids).ByteSize()
    assert prompt_bytes(PROMPT.token_ids) == with_drafter


def test_a_full_row_is_four_bytes_for_each_entry() -> None:
    assert row_bytes(151_936) == 607_744


@pytest.mark.parametrize(
    ("crossing", "words"),
    [
        (Crossing(), "nothing"),
        (Crossing(candidates=True), "q on its candidates"),
        (Crossing(log_prob=True), "q1 of the token"),
        (Crossing(candidates=True, top_log_prob=True), "q on its candidates, max q1"),
        (Crossing(defer=True), "the drafter's decision"),
    ],
)
def test_what_crosses_in_words(crossing: Crossing, words: str) -> None:
    assert described(crossing) == words


def test_only_what_is_above_a_limit_is_told() -> None:
    assert above(CASE, measured()) == []
    assert above(CASE, measured(expert_up=320, expert_down=400)) == []
    assert above(CASE, measured(expert_up=321)) == [
        "token_v3 gate: 16.1 bytes to the expert, at most 16"
    ]
    assert above(CASE, measured(expert_down=420)) == [
        "token_v3 gate: 21.0 bytes from the expert, at most 20"
    ]
    unlimited = Case("lossless", law_pb2.MODE_SPECULATIVE, law_pb2.RULE_LOSSLESS)
    assert above(unlimited, measured(expert_up=1e9, expert_down=1e9)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_a_law_that_can_be(case: Case) -> None:
    asked = case.request(PROMPT, SETTING)
    law = law_pb2.Law(
        mode=asked.mode,
        rule=asked.rule,
        form=asked.form,
        coupling=asked.coupling,
        candidates=asked.candidates,
        temperature=asked.temperature,
        top_p=1.0,
        seed=asked.seed,
    )
    laws.check(laws.with_defaults(law, alpha_given=False))
    assert list(asked.token_ids.ids) == list(PROMPT.token_ids)
    assert (asked.candidates, asked.block_length, asked.max_tokens) == (64, 5, 64)


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 12
    limits = {case.name: (case.limits.up, case.limits.down) for case in CASES}
    assert limits["lossless residual"] == limits["opt residual"] == (400, 64)
    assert limits["token_v2 gate"] == limits["token_v3 gate"] == (16, None)


def test_the_router_may_choose_the_block_length() -> None:
    setting = Setting(max_tokens=64, seed=1, block_length=None)
    assert not CASE.request(PROMPT, setting).HasField("block_length")


def a_run(**values: float) -> Run:
    return Run(
        machine=MACHINE,
        models=("pair/drafter", "pair/expert"),
        dtype="float32",
        vocabulary_size=1000,
        prompts=[PROMPT],
        setting=SETTING,
        measured={CASE: measured(**values)},
    )


def test_the_report_has_figures_beside_limits() -> None:
    text = to_markdown(a_run())
    assert row(text, "token_v3 gate") == [
        *("20", "10.0", "16", "20.0", "20", "30.0", "40.0", "2.5", "400", "nothing")
    ]
    assert "Every figure is within its limit" in text
    for fact in ("A processor", "pair/expert", "K = 64", "4 kB", "block length 5", "3 to 3"):
        assert fact in text
    above_limit = to_markdown(a_run(expert_up=400))
    assert "- Above its limit: token_v3 gate: 20.0 bytes to the expert" in above_limit
    assert "within" not in above_limit


def test_the_json_has_sums_and_ratios() -> None:
    values: dict[str, Any] = to_json(a_run())
    law = values["laws"]["token_v3 gate"]
    assert law["bytes"]["expert_up"] == 200
    assert law["bytes_per_drafted_token"]["expert_up"] == 10.0
    assert law["limits"] == {"up": 16, "down": 20}
    assert law["law"]["rule"] == "RULE_TOKEN_V3"
    assert values["row_bytes"] == 4000
