"""Ours beside others: batches, turns, figures, and what peers that are not there cost."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.answer import Answer
from bench.errors import BadOption, ServiceFailed
from bench.pair import Pair
from bench.peers import llama_cpp, vllm
from bench.progress import progress_bar
from bench.prompts import Prompt
from bench.streams.engines import Ask, groups
from bench.streams.measure import Batch, batches, measure, rates
from bench.streams.report import Run, findings, to_json, to_markdown
from bench.streams.systems import Engine, System, choose
from tests.services import TINY
from tests.unit.bench_samples import an_answer
from tests.unit.test_bench_report import MACHINE, row

PROMPTS = [Prompt(f"HumanEval/{i}", (i,), chat=False) for i in range(4)]
SYSTEMS = [System.SPECULATIVE, System.VLLM]
TINY_PAIR = Pair(TINY / "drafter", TINY / "expert", "float32")


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


def test_who_answers_one_request_at_a_time_is_left_out_of_more() -> None:
    asked: list[int] = []

    def ask(prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
        asked.append(len(prompts))
        return [an_answer() for _ in prompts]

    with progress_bar(1) as bar:
        for streams in (1, 2):
            of = batches(PROMPTS[:2], streams)
            warm_up = Prompt("warm", (9,), chat=False)
            measure({System.TRANSFORMERS: ask}, of, warm_up, 8, 1, bar)
    assert asked == [1, 1, 1], "the warm-up, and both prompts"


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


def test_a_repeat_counts_with_its_own_tokens() -> None:
    """Sampled answers differ in length."""
    short, long = [an_answer(10)], [an_answer(30)]
    batch = Batch(
        PROMPTS[:1],
        {System.EXPERT: [short, long, short]},
        {System.EXPERT: [1.0, 2.0, 4.0]},
    )
    found = rates([batch], System.EXPERT)
    assert (found.tokens, found.tokens_per_s) == (30, 15)
    assert (found.slowest_per_s, found.fastest_per_s) == (2.5, 15)


def a_run(systems: Sequence[System], temperature: float = 0.0) -> Run:
    return Run(
        machine=MACHINE,
        models=("pair/drafter", "pair/expert"),
        dtype="bfloat16",
        weights=("int4", "auto"),
        draft_vocabulary=32768,
        temperature=temperature,
        max_tokens=8,
        repeats=1,
        together=[systems],
        left_out=["left out: no such Peer"],
        batches={2: [a_batch(4.0)]},
    )


def test_ours_is_set_against_the_best_of_theirs() -> None:
    text = to_markdown(a_run(SYSTEMS))
    assert row(text, "ours, SPECULATIVE")[:2] == ["20", "5.00"]
    assert row(text, "vLLM, expert alone")[:2] == ["20", "2.50"]
    best = "the best of the others (vLLM, expert alone)"
    assert f"ours, SPECULATIVE against {best}: 2.00" in text
    assert "- Left out: no such Peer" in text
    assert "our expert's auto; our drafter says 32768 tokens" in text
    assert row(text, "vLLM, expert alone", 1) == ["2 of 2"]
    assert to_json(a_run(SYSTEMS))["rates"]["2"][System.VLLM]["tokens_per_s"] == 2.5


def test_sampled_answers_are_not_expected_to_be_equal() -> None:
    text = to_markdown(a_run(SYSTEMS, temperature=1.0))
    assert "temperature 1, nothing truncated" in text
    assert "## The answers" not in text


def test_without_others_the_report_says_so() -> None:
    found = {System.SPECULATIVE: rates([a_batch(1.0)], System.SPECULATIVE)}
    assert findings(found) == ["Without others there is nothing to compare with"]


def test_as_many_engines_are_in_memory_as_it_holds() -> None:
    systems = [System.TRANSFORMERS, System.EXPERT, System.VLLM, System.CASCADE]
    ours = [System.EXPERT, System.CASCADE]
    each = TINY_PAIR.weights_bytes + (2 << 30)
    assert groups(systems, TINY_PAIR, 3 * each) == [[*ours, System.TRANSFORMERS, System.VLLM]]
    assert groups(systems, TINY_PAIR, 2 * each) == [[*ours, System.TRANSFORMERS], [System.VLLM]]
    assert groups(systems, TINY_PAIR, each // 2) == [ours, [System.TRANSFORMERS], [System.VLLM]]


def test_peers_that_are_not_there_are_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for peer in (vllm, llama_cpp):
        monkeypatch.setattr(peer, "ENVIRONMENT", tmp_path)
    chosen, left_out = choose([], TINY_PAIR)
    assert {system.engine for system in chosen} == {Engine.OURS}
    assert [line for line in left_out if "make peer-vllm" in line]
    assert [line for line in left_out if "make peer-llama-cpp" in line]
    assert choose([System.CASCADE, System.EXPERT], TINY_PAIR)[0] == [System.EXPERT, System.CASCADE]
    with pytest.raises(BadOption, match=r"--systems: llama\.cpp is not installed"):
        choose([System.EXPERT, System.LLAMA_CPP_DRAFT], TINY_PAIR)


def test_a_vllm_that_does_not_start_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment in which there is no vLLM."""
    monkeypatch.setattr(vllm, "ENVIRONMENT", tmp_path)
    assert not vllm.installed()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    with (
        pytest.raises(ServiceFailed, match=r"vLLM ended: .*No module named 'vllm'"),
        vllm.running(TINY_PAIR, tmp_path, drafts=True),
    ):
        pytest.fail("it can't serve")
