"""The rules' procedure alone: for several sessions in one call, and for one after the other."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.acceptance.cases import Case
from bench.acceptance.drafting import Block
from bench.acceptance.verifying import Expert
from services.expert.block import CheckedBlock, to_drafts
from services.rules.acceptance import verify
from services.rules.drafts import Drafts
from services.rules.law import Law


@dataclass(frozen=True)
class Batch:
    """What S sessions of one law have verified, each with as long a block."""

    law: Law
    logits: Tensor
    """Floating [S, rows, V]."""
    drafts: Drafts
    """[S, n]."""
    each: Sequence[Drafts]
    """The same, [1, n] for each session."""
    seeds: Tensor
    """int64 [S]."""
    positions: Tensor
    """int64 [S]."""

    def together(self) -> float:
        """Seconds of one call for all sessions."""
        return self._timed(self.logits, self.drafts, self.seeds, self.positions)

    def alone(self) -> float:
        """Seconds of one call for each session, all of them."""
        return sum(
            self._timed(
                self.logits[i : i + 1], drafts, self.seeds[i : i + 1], self.positions[i : i + 1]
            )
            for i, drafts in enumerate(self.each)
        )

    def _timed(self, logits: Tensor, drafts: Drafts, seeds: Tensor, positions: Tensor) -> float:
        start = time.perf_counter()
        verify(self.law, logits, drafts, seeds, positions, bonus=self.law.allows_bonus)
        return time.perf_counter() - start


def make_batch(expert: Expert, case: Case, blocks: Sequence[Block], sessions: int) -> Batch:
    """Really drafted blocks and their logits, those of each context in turn.

    Args:
        expert: with a session after each context.
        case: the law.
        blocks: one for each context, all of one length.
        sessions: S.
    """
    logits = [expert.logits(case, i, block) for i, block in enumerate(blocks)]
    laws = [expert.law(case, i) for i in range(len(blocks))]
    law, device = laws[0].law, expert.model.device
    size = expert.model.facts.vocabulary_size
    read = [CheckedBlock.read(block, law, size) for block, law in zip(blocks, laws, strict=True)]
    turns = [i % len(blocks) for i in range(sessions)]
    return Batch(
        law=law,
        logits=torch.stack([logits[i] for i in turns]),
        drafts=to_drafts([read[i] for i in turns], device),
        each=[to_drafts([read[i]], device) for i in turns],
        seeds=torch.cat([laws[i].seeds for i in turns]),
        positions=torch.tensor([expert.lengths[i] for i in turns]),
    )
