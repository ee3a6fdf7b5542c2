"""What a drafter sends of drafted tokens, in process and for many sessions at once."""

import torch
from torch import Tensor

from services.rules.distribution import Candidates, Sampling
from services.rules.drafts import Drafts
from services.rules.law import Form, Law
from services.rules.registry import RULES
from services.rules.unscaled import OfLogits


def make_law(
    rule: str,
    alpha: float,
    sampling: Sampling,
    k: int,
    *,
    gate: bool = False,
    coupled: bool = False,
) -> Law:
    """A law by its rule's name."""
    return Law(RULES[rule], alpha, sampling, k, Form.GATE if gate else Form.RESIDUAL, coupled)


def name(law: Law) -> str:
    """For people: ``token_v3-0.5-T1-K5-gate``."""
    parts = [
        law.rule.name,
        f"{law.alpha:g}",
        f"T{law.sampling.temperature:g}",
        f"K{law.candidates}",
    ]
    if law.sampling.top_k:
        parts.append(f"top_k{law.sampling.top_k}")
    if law.sampling.top_p < 1:
        parts.append(f"top_p{law.sampling.top_p:g}")
    if law.form is Form.GATE:
        parts.append("gate")
    return "-".join(parts + ["coupled"] * law.coupled)


GATED = tuple(rule.name for rule in RULES.values() if rule.defer)
COUPLED = ("lossless", *(r.name for r in RULES.values() if r.defer and not r.per_token))
VARIANTS: list[tuple[str, dict[str, bool]]] = [
    *((rule, {}) for rule in RULES),
    *((rule, {"gate": True}) for rule in GATED),
    *((rule, {"coupled": True}) for rule in COUPLED),
]
"""Every rule in each of its forms."""


def cross(law: Law, logits: Tensor, ids: Tensor, q: Candidates) -> Drafts:
    """Blocks with what the law lets cross, and nothing else.

    Args:
        law: says what crosses.
        logits: the drafter's, [S, n, V].
        ids: the drafted tokens, int64 [S, n].
        q: as sampled from, [S, n, K].
    """
    crossing, q1 = law.crossing, OfLogits(logits, ids.unsqueeze(-1))
    return Drafts(
        ids=ids,
        candidates=q if crossing.candidates else None,
        top_log_prob=q1.log_top.squeeze(-1) if crossing.top_log_prob else None,
        log_prob=q1.log_at.squeeze(-1) if crossing.log_prob else None,
        defer=law.drafter_defers(q1).squeeze(-1) if crossing.defer else None,
    )


def stack(blocks: list[Candidates]) -> Candidates:
    """Candidates of n positions, [S, K] each, as [S, n, K]."""
    return Candidates(
        torch.stack([c.ids for c in blocks], dim=1), torch.stack([c.drops for c in blocks], dim=1)
    )
