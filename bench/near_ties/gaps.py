"""The expert's own view of a difference: how close the two tokens were."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.near_ties.compare import Comparison
from bench.progress import progress_bar
from services.engine.model import DTYPES, Model, load
from services.engine.weights import Weights


@dataclass(frozen=True)
class View:
    """The expert's logits at one position, in one precision and by one way of feeding."""

    dtype: str
    feeding: str
    """"token by token" as EXPERT decodes, or "in one pass" as a block is verified."""
    gap: float
    """Logit of the reference's token minus that of the other answer's."""
    top_gap: float
    """Logit of the most likely token minus that of the second."""
    spacing: float
    """Distance of the largest logit to the next number of this precision."""


def views(
    expert: Path, dtype: str, comparisons: Sequence[Comparison], weights: Weights = "auto"
) -> dict[str, list[View]]:
    """For each problem whose answers part: how the expert sees the two tokens there.

    Loads the expert twice where the precision is not float32: what the run used, and float32 to
    judge by, with the same weights.

    Args:
        expert: its folder.
        dtype: that the run used.
        comparisons: of the answers.
        weights: what the run kept the expert's in.

    Raises:
        ModelUnsupported: the engine can't run the model.
    """
    parted = [c for c in comparisons if c.parted is not None]
    found: dict[str, list[View]] = {c.prompt.name: [] for c in parted}
    precisions = list(dict.fromkeys([dtype, "float32"])) if parted else []
    rounded: Weights = weights if weights in ("int8", "int4") else "auto"
    with progress_bar(len(precisions) * len(parted)) as bar:
        for precision in precisions:
            bar.say(f"loading the expert in {precision}")
            model = load(expert, device="cpu", dtype=precision, weights=rounded)
            for comparison in parted:
                bar.say(f"{comparison.prompt.name} in {precision}")
                found[comparison.prompt.name] += _views(model, precision, comparison)
                bar.advance()
    return found


def _views(model: Model, dtype: str, comparison: Comparison) -> list[View]:
    at, tokens = comparison.difference, comparison.parted
    assert at is not None, "only of answers that part"
    assert tokens is not None, "only of answers that part"
    prompt, prefix = list(comparison.prompt.token_ids), list(comparison.one[:at])
    logits = {
        "token by token": stepped(model, prompt, prefix),
        "in one pass": model.logits(prompt + prefix, rows=1)[0],
    }
    return [view(row, tokens, dtype, feeding) for feeding, row in logits.items()]


def stepped(model: Model, prompt: list[int], prefix: list[int]) -> Tensor:
    """Logits [V] after a prompt that is fed at once and a prefix that is fed token by token."""
    slot = model.new_slot()
    logits = model.forward(slot, prompt, rows=1)
    for token in prefix:
        logits = model.forward(slot, [token], rows=1)
    slot.truncate(0)
    return logits[0]


def view(logits: Tensor, tokens: tuple[int, int], dtype: str, feeding: str) -> View:
    """What logits [V] say of the reference's token and of the other's."""
    top = logits.topk(2).values
    exponent = torch.frexp(top[0].abs()).exponent.item() - 1
    return View(
        dtype=dtype,
        feeding=feeding,
        gap=float(logits[tokens[0]] - logits[tokens[1]]),
        top_gap=float(top[0] - top[1]),
        spacing=torch.finfo(DTYPES[dtype]).eps * 2.0**exponent,
    )
