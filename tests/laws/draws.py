"""The procedure with drawn noise, many sessions at once, by the services' own functions."""

from collections.abc import Callable

import torch
from torch import Tensor

from services.rules import acceptance
from services.rules.distribution import Candidates
from services.rules.noise import seeds_tensor
from services.rules.sampling import sample_draft, sample_expert
from services.rules.targets import TARGETS
from tests.laws.enumeration import Law
from tests.laws.tables import Tables

CHUNK = 20_000
PROMPT_LENGTH = 5

Cells = Tensor
"""int64 [sessions]: the tokens of each answer as the digits of a number to base V."""


def in_chunks(draw: Callable[[Tensor], Cells], sessions: int, first_seed: int) -> Cells:
    """Runs ``draw`` on seeds from ``first_seed`` on, some at a time."""
    seeds = seeds_tensor([first_seed]) + torch.arange(sessions)
    return torch.cat([draw(chunk) for chunk in seeds.split(CHUNK)])


def draw_answers(
    tables: Tables, law: Law, block: int, seeds: Tensor, *, bonus_from_p: bool = False
) -> Cells:
    """Answers as long as the tables are deep, by rounds of at most ``block`` tokens.

    Args:
        tables: the two models.
        law: what the tokens follow.
        block: tokens of a block; fewer where fewer are missing.
        seeds: int64 [sessions].
        bonus_from_p: a mistake on purpose: the expert's token follows every whole block.
    """
    prefix = torch.zeros_like(seeds)
    length = torch.zeros_like(seeds)
    for depth in range(tables.depth):
        # All that are this long have the same tokens missing and share a round.
        who = (length == depth).nonzero().squeeze(-1)
        n = min(block, tables.depth - depth)
        positions = torch.full_like(who, PROMPT_LENGTH + depth)
        rows, drafts = [prefix[who]], []
        for j in range(n):
            logits = tables.drafter[depth + j][rows[-1]]
            drafts.append(sample_draft(logits, law.sampling, law.k, seeds[who], positions + j))
            rows.append(rows[-1] * tables.size + drafts[-1].ids)
        verdicts = acceptance.verify(
            TARGETS[law.rule],
            law.alpha,
            torch.stack([tables.expert[depth + j][rows[j]] for j in range(n)], dim=1),
            torch.stack([draft.ids for draft in drafts], dim=1),
            Candidates(
                torch.stack([draft.candidates.ids for draft in drafts], dim=1),
                torch.stack([draft.candidates.drops for draft in drafts], dim=1),
            ),
            law.sampling,
            seeds[who],
            positions,
            bonus=False,
        )
        token = verdicts.token
        if bonus_from_p and depth + n < tables.depth:
            logits = tables.expert[depth + n][rows[n]]
            after = sample_expert(logits, law.sampling, seeds[who], positions + n)
            token = torch.where(verdicts.accepted == n, after, token)
        here = torch.stack(rows, dim=1).gather(1, verdicts.accepted.unsqueeze(1)).squeeze(1)
        prefix[who] = torch.where(token >= 0, here * tables.size + token, here)
        length[who] = depth + verdicts.accepted + (token >= 0)
    return prefix


def draw_expert(tables: Tables, law: Law, seeds: Tensor) -> Cells:
    """Answers of the expert alone."""
    prefix = torch.zeros_like(seeds)
    for depth, logits in enumerate(tables.expert):
        positions = torch.full_like(seeds, PROMPT_LENGTH + depth)
        token = sample_expert(logits[prefix], law.sampling, seeds, positions)
        prefix = prefix * tables.size + token
    return prefix


def draw_drafter(tables: Tables, law: Law, seeds: Tensor) -> Cells:
    """Answers of the drafter alone."""
    prefix = torch.zeros_like(seeds)
    for depth, logits in enumerate(tables.drafter):
        positions = torch.full_like(seeds, PROMPT_LENGTH + depth)
        token = sample_draft(logits[prefix], law.sampling, law.k, seeds, positions).ids
        prefix = prefix * tables.size + token
    return prefix
