"""How good the tiny pair is, and how well it fits together, on held-out documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from tests.tiny.tokenizer import END_ID, TOKENS, encode_document


@dataclass(frozen=True)
class ModelMeasure:
    """One model, means over the held-out positions.

    `nats_per_byte`: loss over bytes and end tokens, padding entries masked.
    `padding_mass`: probability of the padding entries where they are not masked.
    `end_probability`: probability of the end token where a document ends.
    """

    nats_per_byte: float
    padding_mass: float
    end_probability: float


@dataclass(frozen=True)
class PairMeasure:
    """Both models, and their agreement at temperature 1 and 0, padding entries masked.

    `acceptance`: 1 - TV(p, q), mean over positions.
    `greedy_agreement`: share of positions where both find the same token the most likely.
    """

    drafter: ModelMeasure
    expert: ModelMeasure
    acceptance: float
    greedy_agreement: float


def measure_pair(
    drafter: LlamaForCausalLM, expert: LlamaForCausalLM, documents: Sequence[str]
) -> PairMeasure:
    """Score each document alone, from its second byte to its end token."""
    tokens = [torch.tensor(encode_document(document)) for document in documents]
    targets = torch.cat([ids[1:] for ids in tokens])
    drafter_logits, expert_logits = _logits(drafter, tokens), _logits(expert, tokens)
    q = drafter_logits[:, :TOKENS].softmax(-1)
    p = expert_logits[:, :TOKENS].softmax(-1)
    return PairMeasure(
        drafter=_measure(drafter_logits, targets),
        expert=_measure(expert_logits, targets),
        acceptance=torch.minimum(p, q).sum(-1).mean().item(),
        greedy_agreement=(p.argmax(-1) == q.argmax(-1)).double().mean().item(),
    )


@torch.inference_mode()
def _logits(model: LlamaForCausalLM, tokens: Sequence[Tensor]) -> Tensor:
    """Logits [positions of all documents, vocabulary of the model]."""
    return torch.cat([model(ids[None, :-1]).logits[0] for ids in tokens])


def _measure(logits: Tensor, targets: Tensor) -> ModelMeasure:
    masked = logits[:, :TOKENS]
    return ModelMeasure(
        nats_per_byte=F.cross_entropy(masked, targets).item(),
        padding_mass=logits.softmax(-1)[:, TOKENS:].sum(-1).mean().item(),
        end_probability=masked.softmax(-1)[targets == END_ID, END_ID].mean().item(),
    )
