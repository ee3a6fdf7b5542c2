"""A step that takes favourites: what tests of the engine build theirs on."""

from collections.abc import Sequence
from typing import Self

import torch

from services.engine.session import Session
from services.engine.step import Feed, Step


class GreedyStep(Step):
    """Feeds what the model has not seen, and decides the favourite after it."""

    def feed(self, session: Session) -> Feed:
        return Feed(session.unseen(), rows=1)

    @property
    def group(self) -> str:
        return ""

    @classmethod
    def decide(cls, steps: Sequence[Self], logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1].argmax(-1, keepdim=True).double()
