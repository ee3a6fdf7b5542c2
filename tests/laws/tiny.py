"""The tiny pair in process: the logits that the services' own engines have."""

import functools
from collections.abc import Sequence

from torch import Tensor

from services.engine.model import Model, load
from tests.services import TINY


@functools.cache
def model(name: str) -> Model:
    """The ``drafter`` or the ``expert``, in float32."""
    return load(TINY / name, device="cpu", dtype="float32")


def logits(name: str, ids: Sequence[int]) -> Tensor:
    """After each of the tokens: [len(ids), V], by one pass."""
    return model(name).logits(ids, len(ids))
