"""The one acceptance procedure for every rule (docs/rules.md, "One procedure").

Vocabulary.  *accepted*: a drafted token that becomes part of the answer; *trusted*: an accepted
token that only the rule keeps, see ``Verdicts``; *rejected*: the first drafted token that does not
become part of the answer, which ends the round; *resampled*: the token in its place; *bonus*: the
expert's token after a block that was accepted whole.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.distribution import Scaled
from services.rules.drafts import Drafts
from services.rules.evaluation import Evaluation, evaluate
from services.rules.law import Form, Law
from services.rules.noise import Purpose, keys, uniform
from services.rules.sampling import gumbel_max, sample
from services.rules.target import Target


@dataclass(frozen=True)
class Verdicts:
    """What became of S blocks of n tokens."""

    accepted: Tensor
    """int64 [S]: number of accepted tokens, from the first on."""
    trusted: Tensor
    """bool [S, n]: kept only because the rule trusts the drafter.  In residual form: the lossless
    procedure with the same coin would have rejected the token.  Coupled, and in gate form at
    temperature 0: the expert's own token is another.  In gate form else: every kept token."""
    token: Tensor
    """int64 [S]: the resampled or bonus token; -1 where there is neither."""
    distance: Tensor
    """float64 [S, n]: TV(pi, p) at each position; NaN where it can't be known."""
    log_probs: Tensor | None
    """float64 [S, n + 1, 3], if asked for: of the emitted token at each position, under q, p and
    pi, in nats; NaN where it can't be known."""


def verify(
    law: Law,
    logits: Tensor,
    drafts: Drafts,
    seeds: Tensor,
    positions: Tensor,
    *,
    bonus: bool,
    log_probs: bool = False,
) -> Verdicts:
    """Accepts or rejects drafted tokens and replaces the first rejected one.

    In residual form a token x is accepted with probability ``min(1, pi(x) / q(x))``, and in place
    of the first rejected one comes a sample of ``norm(max(0, pi - q))``.  In gate form and coupled,
    a token is accepted iff the rule keeps it or the expert's own, where it is known, is the same;
    in place of the first rejected one comes the expert's own.  Each emitted token follows ``pi``.

    Args:
        law: rule, form, coupling and sampling.
        logits: the expert's, floating [S, n + 1, V] with ``bonus``, else [S, n, V]; row j is the
            distribution of the block's token j.
        drafts: the blocks, n at least 1.
        seeds: int64 [S], on the host.
        positions: int64 [S], on the host; index of the block's first token in prompt and answer.
        bonus: whether a token follows a block that was accepted whole; only where the law allows.
        log_probs: whether to report log-probabilities.
    """
    x = drafts.ids
    n = x.shape[1]
    here = positions.unsqueeze(1) + torch.arange(logits.shape[1])

    def key(purpose: Purpose) -> Tensor:
        """At the drafted positions, on the host: int64 [S, n]."""
        return keys(seeds.unsqueeze(1), here[:, :n], purpose)

    rows = Scaled.of(logits, law.sampling)
    p = rows[:, :n]
    at = evaluate(law, logits[:, :n], p, drafts)

    # The expert's own tokens, where they take no noise or the drafter's.
    own: Tensor | None = None
    if rows.greedy or law.coupled:
        own = sample(
            rows, keys(seeds.unsqueeze(1), here, Purpose.EXPERT).to(x.device, non_blocking=True)
        )
    if law.form is Form.RESIDUAL and not law.coupled:
        coin = uniform(key(Purpose.ACCEPT)).to(x.device, non_blocking=True)
        threshold = coin * at.of_x(at.q)
        accept = threshold < at.of_x(at.target.at)
        trusted = accept & (threshold >= at.of_x(at.p))
    else:
        same = torch.zeros_like(x, dtype=torch.bool) if own is None else own[:, :n] == x
        accept = same if at.defer is None else same | ~at.of_x(at.defer)
        trusted = accept & ~same
    accepted = accept.long().cumprod(1).sum(1)

    # Only one row of a session is replaced, that of its first rejected token; on the CPU, where
    # asking costs no wait for a device, only of sessions that have one.
    who = torch.arange(len(x), device=x.device)
    if x.device.type == "cpu":
        who = who[accepted < n]
    row = who, accepted[who].clamp(max=n - 1)
    if own is not None:
        replacement = own[row]
    elif law.form is Form.GATE:
        replacement = sample(p[row], key(Purpose.EXPERT).to(x.device, non_blocking=True)[row])
    else:
        pi = Target(at.target.at[row], at.target.rest[row])
        weights = log_residual(pi, at.ids[row], at.q[row], p[row])
        replacement = gumbel_max(
            weights, key(Purpose.RESAMPLE).to(x.device, non_blocking=True)[row]
        )
    after = own[:, n] if bonus and own is not None else torch.full_like(accepted, -1)
    token = torch.where(accepted == n, after, after.scatter(0, who, replacement))
    distance = (at.target.at - at.p).clamp(min=0).sum(-1)
    return Verdicts(
        accepted=accepted,
        trusted=trusted,
        token=token,
        distance=torch.where(at.pi_known, distance, torch.nan),
        log_probs=_log_probs(at, rows, x, accepted, token) if log_probs else None,
    )


def log_residual(pi: Target, ids: Tensor, q: Tensor, p: Scaled) -> Tensor:
    """``log max(0, pi - q)`` without its normaliser, of one position of each session.

    Where rounding leaves nothing of it, ``log pi``.

    Args:
        pi: the target, on the listed tokens [S, m].
        ids: the listed tokens, int64 [S, m].
        q: float64 [S, m].
        p: [S, V], above temperature 0.

    Returns:
        float64 [S, V].
    """
    assert p.normalizer is not None, "there is chance above temperature 0 alone"
    weights = p.spread().double() + (pi.rest.log() - p.normalizer)
    repeats = ids == ids[:, :1]
    repeats[:, 0] = False

    def put(values: Tensor) -> None:
        values = torch.where(repeats, -torch.inf, values.log())
        weights.scatter_reduce_(-1, ids, values, "amax", include_self=False)

    excess = (pi.at - q).clamp(min=0)
    put(excess)
    empty = weights.amax(-1, keepdim=True) == -torch.inf
    put(torch.where(empty, pi.at, excess))
    return weights


def _log_probs(at: Evaluation, rows: Scaled, x: Tensor, accepted: Tensor, token: Tensor) -> Tensor:
    """Log-probabilities of the emitted tokens under q, p and pi: float64 [S, n + 1, 3].

    Args:
        at: the law at the n positions.
        rows: p, [S, n, V] or, with a bonus, [S, n + 1, V].
        x: the drafted tokens, int64 [S, n].
        accepted: int64 [S].
        token: the one behind the accepted ones, int64 [S]; -1 where there is none.
    """
    n, there = x.shape[1], rows.logits.shape[1]
    emitted = torch.cat([x, token.unsqueeze(1)], 1)
    emitted = emitted.scatter(1, accepted.unsqueeze(1), token.unsqueeze(1)).clamp(min=0)
    p = torch.full(emitted.shape, torch.nan, dtype=torch.float64, device=x.device)
    p[:, :there] = rows.at(emitted[:, :there].unsqueeze(-1)).squeeze(-1)
    match = at.ids == emitted[:, :n].unsqueeze(-1)
    # A repeated entry has no q, and no more of pi than the first: the maximum is the first's.
    q_of, pi_of = (torch.where(match, values, 0.0).amax(-1) for values in (at.q, at.target.at))
    pi_of = torch.where(match.any(-1), pi_of, at.target.rest.squeeze(-1) * p[:, :n])
    result = torch.stack([torch.full_like(p, torch.nan), p, p], -1)  # a bonus: pi is p
    if at.q_known:
        result[:, :n, 0] = q_of
    result[:, :n, 2] = torch.where(at.pi_known, pi_of, torch.nan)
    return result.log()
