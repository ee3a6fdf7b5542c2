"""The one acceptance procedure for every rule (docs/rules.md, "One procedure").

Vocabulary.  *accepted*: a drafted token that becomes part of the answer; *trusted*: an accepted
token that the lossless procedure, with the same coin, would have rejected; *rejected*: the first
drafted token that does not become part of the answer, which ends the round; *resampled*: the token
in its place; *bonus*: the expert's token after a block that was accepted whole.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.distribution import Candidates, Sampling, scaled
from services.rules.noise import Purpose, keys, uniform
from services.rules.sampling import gumbel_max
from services.rules.targets import Target


@dataclass(frozen=True)
class Verdicts:
    """What became of S blocks of n tokens."""

    accepted: Tensor
    """int64 [S]: number of accepted tokens, from the first on."""
    trusted: Tensor
    """bool [S, n]: accepted only because the rule trusts the drafter."""
    token: Tensor
    """int64 [S]: the resampled or bonus token; -1 where there is neither."""
    distance: Tensor
    """floating [S, n]: TV(pi, p) at each position."""


def allows_bonus(rule: str, sampling: Sampling) -> bool:
    """Whether a token may follow a block that was accepted whole.

    Only where the token does not depend on ``q`` at all, so that it is the one that drafting would
    have led to (docs/rules.md, "The bonus token").
    """
    return rule == "lossless" and sampling.temperature == 0


def residual(pi: Tensor, q: Tensor) -> Tensor:
    """``max(0, pi - q)`` without its normaliser, [..., V].

    Where rounding leaves it empty, ``pi`` itself.
    """
    rest = (pi - q).clamp_(min=0)
    return torch.where(rest.sum(-1, keepdim=True) > 0, rest, pi)


def verify(
    target: Target,
    alpha: float,
    logits: Tensor,
    block: Tensor,
    candidates: Candidates,
    sampling: Sampling,
    seeds: Tensor,
    positions: Tensor,
    *,
    bonus: bool,
) -> Verdicts:
    """Accepts or rejects drafted tokens and replaces the first rejected one.

    Accepts token x with probability ``min(1, pi(x) / q(x))``; in place of the first rejected one it
    samples from ``norm(max(0, pi - q))``.  Then each emitted token follows ``pi`` exactly.

    Args:
        target: the rule's function to ``pi``.
        alpha: the rule's leniency.
        logits: the expert's, floating [S, n + 1, V] with ``bonus``, else [S, n, V]; row j is the
            distribution of the block's token j.
        block: int64 [S, n], the drafted tokens.
        candidates: ``q`` of each drafted token, [S, n, K].
        sampling: temperature, top-k and top-p.
        seeds: int64 [S].
        positions: int64 [S], index of the block's first token in prompt and answer.
        bonus: whether the law allows one (``allows_bonus``).
    """
    n = block.shape[1]
    rows = logits[:, :n]
    p = scaled(rows, sampling)
    q = candidates.dense(rows.shape[-1], rows.dtype)
    pi = target(None, rows.softmax(-1), q, p, alpha)

    here = positions.unsqueeze(1) + torch.arange(n, device=block.device)
    coin = uniform(keys(seeds.unsqueeze(1), here, Purpose.ACCEPT))
    x = block.unsqueeze(-1)
    pi_x, p_x, threshold = (
        pi.gather(-1, x).squeeze(-1),
        p.gather(-1, x).squeeze(-1),
        coin * q.gather(-1, x).squeeze(-1),
    )
    accept = threshold < pi_x
    accepted = accept.long().cumprod(1).sum(1)

    # Only one row of each session is resampled: that of its first rejected token.
    sessions = torch.arange(len(block), device=block.device)
    row = accepted.clamp(max=n - 1)
    weights = residual(pi[sessions, row], q[sessions, row])
    if sampling.temperature == 0:  # the residual is one token: no noise is needed
        token = weights.argmax(-1)
    else:
        token = gumbel_max(weights, keys(seeds, positions + row, Purpose.RESAMPLE))
    whole = accepted == n
    after = logits[:, n].argmax(-1) if bonus else torch.full_like(token, -1)
    return Verdicts(
        accepted=accepted,
        trusted=accept & (threshold >= p_x),
        token=torch.where(whole, after, token),
        distance=(pi - p).clamp(min=0).sum(-1),
    )
