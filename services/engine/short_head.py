"""A drafter's output layer without its rare tokens.

Of a small model with a large vocabulary the output layer is a good part of every step: 28 % of the
weights of a Qwen2.5 of 0.5 B.  A token that is never drafted costs acceptance where the expert says
it, and nothing else, so the rows of rare tokens may go (Zhao et al. 2025, arXiv:2502.14856,
"FR-Spec").  Byte-pair vocabularies number their tokens in the order in which they were merged, the
most frequent pairs first: the first ids are the common ones.  Tokens of the tokenizer's own stay,
and those that end an answer.

The model's distribution is another one then, without those tokens.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from services.errors import ModelUnsupported

_ALIGNED = 16
"""Outputs that the quantised kernels take at a time."""


class ShortHead(nn.Module):
    """An output layer that knows its first tokens and some others."""

    def __init__(self, head: nn.Linear, first: int, others: Tensor) -> None:
        """Keeps the rows of the tokens below ``first`` and of ``others``, int64 [m], above it."""
        super().__init__()
        kept = torch.cat([torch.arange(first), others]).to(head.weight.device)
        self.linear = nn.Linear(
            head.in_features, len(kept), bias=head.bias is not None, device="meta"
        )
        self.linear.weight = _rows(head.weight, kept)
        if head.bias is not None:
            self.linear.bias = _rows(head.bias, kept)
        self._first, self._size = first, head.out_features
        self._others = kept[first:]

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., V]: -inf where a token is not known."""
        known: Tensor = self.linear(x)
        logits = known.new_full((*known.shape[:-1], self._size), -torch.inf)
        logits[..., : self._first] = known[..., : self._first]
        logits[..., self._others] = known[..., self._first :]
        return logits


def shorten_head(
    module: PreTrainedModel, tokenizer: Mapping[str, Any], tokens: int, end_token_ids: Iterable[int]
) -> None:
    """Leaves a model the first ``tokens`` of its output layer, the tokenizer's own, and its ends.

    Args:
        module: changed in place.
        tokenizer: the contents of tokenizer.json.
        tokens: at least one; rounded up to what the quantised kernels take.
        end_token_ids: they end an answer.

    Raises:
        ModelUnsupported: the model has no more tokens than that, or does not end with such a layer.
    """
    head, config = module.get_output_embeddings(), module.config
    if not isinstance(head, nn.Linear) or getattr(config, "final_logit_softcapping", None):
        raise ModelUnsupported(
            f"model type {config.model_type}: its logits are not those of a linear output layer, "
            "which is what a draft vocabulary shortens"
        )
    added = {token["id"] for token in tokenizer.get("added_tokens", [])}
    own = sorted(id for id in added.union(end_token_ids) if id < head.out_features)
    first = tokens
    while (first + sum(id >= first for id in own)) % _ALIGNED:
        first += 1
    if first >= head.out_features:
        raise ModelUnsupported(
            f"a draft vocabulary of {tokens}, rounded up to {first}: "
            f"the model has no more than {head.out_features} tokens"
        )
    others = torch.tensor([id for id in own if id >= first], dtype=torch.int64)
    module.set_output_embeddings(ShortHead(head, first, others))


def _rows(parameter: Tensor, kept: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[kept], requires_grad=False)
