"""The report of a speed run."""

import json
from pathlib import Path

from cascade.v1 import law_pb2

from bench.machine import Machine
from bench.markdown import rounded, table
from bench.prompts import Prompt
from bench.speed.ours import Drafts
from bench.speed.report import Run, to_markdown, write
from bench.speed.systems import System
from tests.unit.bench_samples import an_answer, statistics

MACHINE = Machine(
    date="2024-05-19 12:00 UTC",
    command="python -m bench.speed",
    cpu="A processor",
    cores=2,
    memory_gib=24.0,
    load=0.25,
    others=0.125,
    commit="abc1234",
    versions={"torch": "2.13.0"},
)


def a_run() -> Run:
    name = "HumanEval/0"
    return Run(
        machine=MACHINE,
        models=("pair/drafter", "pair/expert"),
        dtype="float32",
        weights=("auto", "auto"),
        draft_vocabulary=0,
        prompts=[Prompt(name, (1, 2, 3), chat=True)],
        max_tokens=8,
        repeats=2,
        end_token_ids=(9,),
        drafts=Drafts(early_stop=0),
        together=True,
        answers={
            System.TRANSFORMERS: {name: [an_answer(8, first_s=1.0, total_s=8.0)] * 2},
            System.ASSISTED: {name: [an_answer(8, first_s=1.0, total_s=4.0)] * 2},
            System.ASSISTED_5: {name: [an_answer(6, total_s=4.0, end_token_id=9)] * 2},
            System.SPECULATIVE: {
                name: [
                    an_answer(8, first_s=1.5, total_s=2.0, statistics=statistics()),
                    an_answer(7, first_s=1.5, total_s=3.0, statistics=statistics()),
                ]
            },
        },
        laws={
            law_pb2.MODE_SPECULATIVE: law_pb2.Law(
                mode=law_pb2.MODE_SPECULATIVE, rule=law_pb2.RULE_LOSSLESS
            )
        },
    )


def row(markdown: str, label: str, nth: int = 0) -> list[str]:
    """Cells of the table row that begins so."""
    lines = [line for line in markdown.splitlines() if line.startswith(f"| {label}")]
    return [cell.strip() for cell in lines[nth].strip("|").split("|")][1:]


def test_ratios_are_to_the_expert_alone_in_transformers() -> None:
    text = to_markdown(a_run())
    assert row(text, "(a)")[1:4] == ["1.00", "1.00", "1.00 to 1.00"]
    assert row(text, "(b)")[1:3] == ["2.00", "2.00"]
    ours = row(text, "(d) ours, SPECULATIVE")
    assert ours[:8] == ["8", "4.00", "4.00", "2.33 to 4.00", "1500", "14.00", "14.00", "0.750"]
    assert ours[8:] == ["0.600", "4.00"]


def test_ours_is_set_against_the_better_of_the_assisted_two() -> None:
    """(b): 2 tokens/s over all, 7/3 in decoding; (c): 1.5 and 5/3."""
    expected = "SPECULATIVE against the better of (b) and (c): 2.00 over all, 6.00 in decoding"
    assert expected in to_markdown(a_run())


def test_answers_are_compared_in_every_repeat() -> None:
    cells = row(to_markdown(a_run()), "HumanEval/0")
    assert cells == ["3", "8", "equal", "differs at 6", "differs at 7, equal"]


def test_the_set_up_is_told() -> None:
    text = to_markdown(a_run())
    for fact in ("A processor", "12.5%", "abc1234", "pair/expert", "torch 2.13.0", "[9]"):
        assert fact in text
    assert "SPECULATIVE rule LOSSLESS" in text
    assert "as raw text" not in text


def test_without_the_baseline_there_are_no_ratios() -> None:
    run = a_run()
    answers = {System.SPECULATIVE: run.answers[System.SPECULATIVE]}
    text = to_markdown(Run(**(vars(run) | {"answers": answers})))
    assert row(text, "(d) ours, SPECULATIVE")[2] == "-"
    assert row(text, "HumanEval/0") == ["3", "-", "-"]


def test_the_json_holds_every_answer(tmp_path: Path) -> None:
    path = write(a_run(), tmp_path / "results")
    assert path.read_text() == to_markdown(a_run())
    values = json.loads((tmp_path / "results" / "speed.json").read_text())
    both = values["answers"]["speculative"]["HumanEval/0"]
    assert [len(answer["token_ids"]) for answer in both] == [8, 7]
    assert both[0]["statistics"]["draft_ms"] == 600.0
    assert values["answers"]["assisted-5"]["HumanEval/0"][0]["end_token_id"] == 9
    assert values["summaries"]["transformers"]["tokens_per_s"] == 1.0
    assert values["machine"]["cores"] == 2
    assert values["laws"]["MODE_SPECULATIVE"]["rule"] == "RULE_LOSSLESS"


def test_a_table_has_a_dash_for_what_is_unknown() -> None:
    assert table(["a", "b"], [["x", None]]) == "| a | b |\n| --- | ---: |\n| x | - |"


def test_floats_are_rounded_wherever_they_stand() -> None:
    values = {"a": [1 / 3, {"b": (2 / 3, 5, "x", None)}]}
    assert rounded(values, 2) == {"a": [0.33, {"b": [0.67, 5, "x", None]}]}


def test_how_far_a_round_drafts() -> None:
    assert str(Drafts()) == "is the router's choice, and so is where a draft ends before"
    assert str(Drafts(early_stop=0)) == "is the router's choice; no draft ends before"
    assert str(Drafts(5)) == "is 5"
    below = "; a draft ends before with a top probability below 0.4"
    assert str(Drafts(5, 0.4)) == "is 5" + below
    assert str(Drafts(early_stop=0.4)) == "is the router's choice" + below
