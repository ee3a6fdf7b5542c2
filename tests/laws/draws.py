"""The procedure with drawn noise, many sessions at once, by the services' own functions."""

from collections.abc import Callable

import torch
from torch import Tensor

from services.rules import acceptance
from services.rules.law import Law
from services.rules.noise import seeds_tensor
from services.rules.sampling import sample_draft, sample_expert
from services.rules.unscaled import OfLogits
from tests.laws.crossing import cross, stack
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
        rows, drafts, drafter = [prefix[who]], [], []
        for j in range(n):
            drafter.append(tables.drafter[depth + j][rows[-1]])
            drafts.append(
                sample_draft(
                    drafter[-1],
                    law.sampling,
                    law.candidates,
                    seeds[who],
                    positions + j,
                    law.draft_purpose,
                )
            )
            rows.append(rows[-1] * tables.size + drafts[-1].ids)
        verdicts = acceptance.verify(
            law,
            torch.stack([tables.expert[depth + j][rows[j]] for j in range(n)], dim=1),
            cross(
                law,
                torch.stack(drafter, dim=1),
                torch.stack([draft.ids for draft in drafts], dim=1),
                stack([draft.candidates for draft in drafts]),
            ),
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
        token = sample_draft(logits[prefix], law.sampling, law.candidates, seeds, positions).ids
        prefix = prefix * tables.size + token
    return prefix


def draw_token_cascade(tables: Tables, law: Law, seeds: Tensor) -> Cells:
    """Answers of the drafter, the expert's own token where the rule defers."""
    prefix = torch.zeros_like(seeds)
    for depth, (drafter, expert) in enumerate(zip(tables.drafter, tables.expert, strict=True)):
        positions = torch.full_like(seeds, PROMPT_LENGTH + depth)
        logits = drafter[prefix]
        x = sample_draft(logits, law.sampling, law.candidates, seeds, positions).ids
        y = sample_expert(expert[prefix], law.sampling, seeds, positions)
        defer = law.drafter_defers(OfLogits(logits, x.unsqueeze(-1))).squeeze(-1)
        prefix = prefix * tables.size + torch.where(defer, y, x)
    return prefix


def draw_bonus(tables: Tables, law: Law, seeds: Tensor) -> Cells:
    """Two tokens of the coupled lossless law, the second a bonus where the first was accepted."""
    positions = torch.full_like(seeds, PROMPT_LENGTH)
    drafter = tables.drafter[0].expand(len(seeds), -1)
    drafted = sample_draft(
        drafter, law.sampling, law.candidates, seeds, positions, law.draft_purpose
    )
    logits = torch.stack(
        [tables.expert[0].expand(len(seeds), -1), tables.expert[1][drafted.ids]], dim=1
    )
    drafts = cross(law, drafter.unsqueeze(1), drafted.ids.unsqueeze(1), stack([drafted.candidates]))
    verdicts = acceptance.verify(law, logits, drafts, seeds, positions, bonus=True)
    accepted = verdicts.accepted == 1
    first = torch.where(accepted, drafted.ids, verdicts.token)
    second = sample_expert(tables.expert[1][first], law.sampling, seeds, positions + 1)
    return first * tables.size + torch.where(accepted, verdicts.token, second)
