"""A model whose layers are compiled, for passes of few shapes."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel

_SHAPES = 128
"""Pairs of new tokens and wanted rows, each a power of two: more than occur."""


def compiled(module: PreTrainedModel, backend: str) -> Callable[..., Any]:
    """The model's forward, each shape compiled at its first pass.

    The attention over the pages is left as it is; all between is compiled.

    Args:
        module: the model.
        backend: of torch.compile.
    """
    # Beyond its limit, torch would go back to what is not compiled, without a word.
    torch._dynamo.config.recompile_limit = _SHAPES
    torch._dynamo.config.accumulated_recompile_limit = 64 * _SHAPES
    forward: Callable[..., Any] = torch.compile(module.forward, backend=backend, dynamic=False)
    return forward
