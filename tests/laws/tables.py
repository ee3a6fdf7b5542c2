"""Two models as tables: random logits for every prefix of a small vocabulary."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tables:
    """Logits after every prefix of up to ``depth - 1`` tokens.

    A prefix of d tokens is a row of table d: its tokens as the digits of a number to base V.
    """

    drafter: list[Tensor]
    """Table d: floating [V ** d, V]; of several pairs at once, [pairs, V ** d, V]."""
    expert: list[Tensor]

    @property
    def size(self) -> int:
        """V."""
        return self.expert[0].shape[-1]

    @property
    def depth(self) -> int:
        """How many tokens the tables cover."""
        return len(self.expert)


def random_tables(
    seed: int, size: int, depth: int, *, dtype: torch.dtype = torch.float64, awkward: bool = False
) -> Tables:
    """Tables of a drafter and of an expert that agrees with it in part.

    Args:
        seed: of the tables.
        size: V.
        depth: tokens that the tables cover.
        dtype: of the logits.
        awkward: some tokens are impossible, some are as likely as others, some rows are equal in
            both models.
    """
    rng = random.Random(seed)
    spread, shared = rng.uniform(0.5, 2.5), rng.uniform(0, 0.9)
    generator = torch.Generator().manual_seed(seed)

    def gauss(d: int) -> Tensor:
        return torch.randn(size**d, size, generator=generator, dtype=torch.float64) * spread

    drafter, expert = [], []
    for d in range(depth):
        common = gauss(d)
        pair = [shared * common + (1 - shared) * gauss(d) for _ in range(2)]
        if awkward:
            pair = [_awkward(logits, generator) for logits in pair]
            # The drafter's favourite is one token: which of several a rule looks at is not defined.
            favourite = pair[0].argmax(-1, keepdim=True)
            pair[0].scatter_add_(-1, favourite, torch.full_like(pair[0][:, :1], 0.25))
            same = torch.rand(len(common), 1, generator=generator) < 0.1
            pair[1] = torch.where(same, pair[0], pair[1])
        drafter.append(pair[0].to(dtype))
        expert.append(pair[1].to(dtype))
    return Tables(drafter, expert)


def _awkward(logits: Tensor, generator: torch.Generator) -> Tensor:
    """With ties, by rounding to halves, and with impossible tokens, though never only such."""
    logits = (logits * 2).round() / 2
    impossible = torch.rand(logits.shape, generator=generator) < 0.25
    return torch.where(impossible & (logits < logits.amax(-1, keepdim=True)), -float("inf"), logits)


def stacked(pairs: list[Tables]) -> Tables:
    """Several pairs at once, of one size and depth."""
    depths = range(pairs[0].depth)
    return Tables(
        [torch.stack([pair.drafter[d] for pair in pairs]) for d in depths],
        [torch.stack([pair.expert[d] for pair in pairs]) for d in depths],
    )
