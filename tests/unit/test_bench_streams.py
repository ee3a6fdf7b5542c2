"""Ours beside vLLM: batches, turns, figures, and what a vLLM that is not there costs."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.answer import Answer
from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.peers import vllm
from bench.progress import progress_bar
from bench.prompts import Prompt
from bench.streams.measure import Batch, batches, measure, rates
from bench.streams.report import Run, findings, to_json, to_markdown
from bench.streams.systems import Ask, System
from tests.services import TINY
from tests.unit.bench_samples import an_answer
from tests.unit.test_bench_report import MACHINE, row

PROMPTS = [Prompt(f"HumanEval/{i}", (i,), chat=False) for i in range(4)]
SYSTEMS = [System.SPECULATIVE, System.VLLM]


def test_the_last_batch_is_filled_up_with_the_first_prompts() -> None:
    names = [[p.token_ids[0] for p in batch.prompts] for batch in batches(PROMPTS, 3)]
    assert names == [[0, 1, 2], [3, 0, 1]]
    assert len(batches(PROMPTS, 1)) == 4
    assert [p.token_ids[0] for p in batches(PROMPTS, 6)[0].prompts] == [0, 1, 2, 3, 0, 1]


def test_the_systems_take_turns_and_each_prompt_is_asked() -> None:
    asked: list[tuple[System, tuple[int, ...]]] = []

    def asking(system: System) -> Ask:
        def ask(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
            asked.append((system, tuple(prompt[0] for prompt in prompts)))
            return [an_answer() for _ in prompts]

        return ask

    of = batches(PROMPTS, 2)
    with progress_bar(8) as bar:
        measure({s: asking(s) for s in SYSTEMS}, of, Prompt("warm", (9,), chat=False), 8, 2, bar)
    assert asked[:2] == [(system, (9, 9)) for system in SYSTEMS], "left out"
    first, second = SYSTEMS
    assert [system for system, _ in asked[2:]] == [first, second, second, first] * 2
    assert [prompts for _, prompts in asked[2::2]] == [(0, 1), (2, 3)] * 2
    assert all(len(batch.wall_s[system]) == 2 for batch in of for system in SYSTEMS)


def a_batch(*walls: float) -> Batch:
    """Two answers of 10 tokens in each repeat; vLLM takes twice as long."""
    found = [an_answer(10, first_s=0.5), an_answer(10, first_s=1.5)]
    return Batch(
        PROMPTS[:2],
        {system: [found] * len(walls) for system in SYSTEMS},
        {System.SPECULATIVE: list(walls), System.VLLM: [2 * wall for wall in walls]},
    )


def test_a_rate_is_all_tokens_by_the_median_time_of_each_batch() -> None:
    found = rates([a_batch(1.0, 5.0, 2.0), a_batch(3.0, 3.0, 4.0)], System.SPECULATIVE)
    assert found.tokens == 40
    assert found.tokens_per_s == 40 / (2 + 3)
    assert (found.slowest_per_s, found.fastest_per_s) == (40 / 8, 40 / 4)
    assert found.first_ms == 1000


def a_run(systems: Sequence[System]) -> Run:
    return Run(
        machine=MACHINE,
        models=("pair/drafter", "pair/expert"),
        dtype="bfloat16",
        weights=("int4", "auto"),
        max_tokens=8,
        repeats=1,
        systems=systems,
        batches={2: [a_batch(4.0)]},
    )


def test_ours_is_set_against_the_better_of_theirs() -> None:
    text = to_markdown(a_run(SYSTEMS))
    assert row(text, "ours, SPECULATIVE")[:2] == ["20", "5.00"]
    assert row(text, "vLLM, expert alone")[:2] == ["20", "2.50"]
    assert "ours, SPECULATIVE against the better of vLLM's: 2.00" in text
    assert row(text, "vLLM, expert alone", 1) == ["2 of 2"]
    assert to_json(a_run(SYSTEMS))["rates"]["2"][System.VLLM]["tokens_per_s"] == 2.5


def test_without_vllm_the_report_says_so() -> None:
    assert "`make peer-vllm`" in to_markdown(a_run(SYSTEMS[:1]))
    assert (
        "`make peer-vllm`" in findings({System.SPECULATIVE: rates([a_batch(1.0)], SYSTEMS[0])})[0]
    )


def test_a_vllm_that_does_not_start_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment in which there is no vLLM."""
    monkeypatch.setattr(vllm, "ENVIRONMENT", tmp_path)
    assert not vllm.installed()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    pair = Pair(TINY / "drafter", TINY / "expert", "float32")
    with (
        pytest.raises(ServiceFailed, match=r"vLLM ended: .*No module named 'vllm'"),
        vllm.running(pair, tmp_path, drafts=True),
    ):
        pytest.fail("it can't serve")
