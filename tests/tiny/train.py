"""Train the tiny pair: `python -m tests.tiny.train`, some minutes on one core.

Two byte-level Llama models, small enough to commit. A second run on the same machine and
versions gives the same bytes. See README.md beside this file.
"""

import argparse
import hashlib
import json
import math
import platform
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tests.tiny.corpus import Corpus, load_corpus
from tests.tiny.measure import measure_pair
from tests.tiny.tokenizer import CONTEXT, END_ID, TOKENS, encode_document, save_tokenizer

SEED = 20240519
WARM_UP_STEPS = 50
WEIGHT_DECAY = 0.1
GRADIENT_NORM = 1.0
# (rows, tokens a row) of the steps in turn: mostly short rows, long ones for the far positions.
BATCHES = ((4, 256), (4, 256), (4, 256), (2, CONTEXT))


@dataclass(frozen=True)
class Recipe:
    """One model: its shape, the entries of its output layer, and how long it learns."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    vocabulary: int
    steps: int
    learning_rate: float

    def config(self) -> LlamaConfig:
        return LlamaConfig(
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=self.vocabulary,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=END_ID,
            pad_token_id=None,
        )


# The output layers are padded beyond the 257 tokens, each to a size of its own.
DRAFTER = Recipe("drafter", 64, 160, layers=2, vocabulary=264, steps=800, learning_rate=6e-3)
EXPERT = Recipe("expert", 128, 384, layers=4, vocabulary=272, steps=1400, learning_rate=4e-3)


class Rows:
    """Training rows, each from the beginning of a document on, drawn by a seeded generator."""

    def __init__(self, documents: list[str]) -> None:
        shuffled = random.Random(SEED).sample(documents, len(documents))
        tokens = [encode_document(document) for document in shuffled]
        self._stream = torch.tensor([token for ids in tokens for token in ids])
        ends = torch.tensor([len(ids) for ids in tokens]).cumsum(0)
        starts = ends.roll(1)
        starts[0] = 0
        self._starts = starts[starts + CONTEXT < len(self._stream)]
        self._generator = torch.Generator().manual_seed(SEED)

    def draw(self, rows: int, length: int) -> Tensor:
        """Token ids [rows, length + 1]."""
        picks = torch.randint(len(self._starts), (rows,), generator=self._generator)
        return self._stream[self._starts[picks][:, None] + torch.arange(length + 1)]


def train(recipe: Recipe, documents: list[str]) -> LlamaForCausalLM:
    """Train one model with AdamW, a short warm-up, and a cosine schedule down to zero.

    The loss leaves the padding entries out, so they keep their first weights, and with them a
    few per cent of the probability: whoever forgets to mask them will notice.
    """
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(recipe.config())
    rows = Rows(documents)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate(step, recipe.steps)
    )
    began = time.monotonic()
    for step in range(1, recipe.steps + 1):
        ids = rows.draw(*BATCHES[step % len(BATCHES)])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits[..., :TOKENS]
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == recipe.steps:
            _print_progress(recipe, step, loss.item(), time.monotonic() - began)
    model.eval()
    return model


def _learning_rate(step: int, steps: int) -> float:
    """The share of the highest rate at a step."""
    return min((step + 1) / WARM_UP_STEPS, 0.5 * (1 + math.cos(math.pi * step / steps)))


def _print_progress(recipe: Recipe, step: int, loss: float, seconds: float) -> None:
    left = seconds / step * (recipe.steps - step)
    print(
        f"{recipe.name}: step {step}/{recipe.steps}, loss {loss:.3f}, "
        f"{seconds:.0f} s, {left:.0f} s left",
        flush=True,
    )


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write a transformers folder: model, configuration, tokenizer."""
    model.save_pretrained(folder)
    save_tokenizer(folder)


def write_report(
    corpus: Corpus, drafter: LlamaForCausalLM, expert: LlamaForCausalLM, out: Path
) -> None:
    """Write `report.json`: where the pair comes from and how good it is."""
    measured = asdict(measure_pair(drafter, expert, corpus.held_out))
    for recipe, model in ((DRAFTER, drafter), (EXPERT, expert)):
        weights = (out / recipe.name / "model.safetensors").read_bytes()
        measured[recipe.name] |= {
            "parameters": model.num_parameters(),
            "steps": recipe.steps,
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
    report = {
        "corpus": {
            "sha256": corpus.sha256,
            "train_documents": len(corpus.train),
            "train_bytes": sum(len(document.encode()) for document in corpus.train),
            "held_out_documents": len(corpus.held_out),
            "held_out_bytes": sum(len(document.encode()) for document in corpus.held_out),
        },
        **measured,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    text = json.dumps(_rounded(report), indent=2)
    (out / "report.json").write_text(text + "\n")
    print(text)


def _rounded(report: dict[str, object]) -> object:
    return json.loads(json.dumps(report), parse_float=lambda digits: round(float(digits), 4))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tiny pair of drafter and expert.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder of the pair"
    )
    out: Path = parser.parse_args().out
    # Sums depend on how many threads share them.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    corpus = load_corpus()
    drafter, expert = train(DRAFTER, corpus.train), train(EXPERT, corpus.train)
    save(drafter, out / DRAFTER.name)
    save(expert, out / EXPERT.name)
    write_report(corpus, drafter, expert, out)


if __name__ == "__main__":
    main()
