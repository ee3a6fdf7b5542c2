"""Drafted blocks as the expert has them: the tokens, and what crossed of ``q``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.distribution import Candidates
from services.rules.law import Law
from services.rules.unscaled import OfDraft, Unscaled


@dataclass(frozen=True)
class Drafts:
    """S blocks of n tokens.  What did not cross is None (``Law.crossing``)."""

    ids: Tensor
    """int64 [S, n]: the drafted tokens."""
    candidates: Candidates | None = None
    """``q``: [S, n, K]."""
    top_log_prob: Tensor | None = None
    """log max q1: floating [S, n]."""
    log_prob: Tensor | None = None
    """log q1 of the drafted token: floating [S, n]."""
    defer: Tensor | None = None
    """The drafter's own decisions: bool [S, n]."""

    def listed(self) -> Candidates:
        """The tokens that rules are evaluated on, [S, n, m]: the candidates, or the token itself.

        At temperature 0 the token itself is ``q``.  Else, without candidates, ``q`` is unknown.
        """
        if self.candidates is not None:
            return self.candidates
        ids = self.ids.unsqueeze(-1)
        return Candidates(ids, ids.new_zeros(ids.shape))

    def unscaled(self, law: Law) -> Unscaled:
        """``q1`` on the listed tokens, as far as the law's rule looks at it."""
        known = self.log_prob if law.crossing.log_prob else self.top_log_prob
        return OfDraft(
            self.listed(),
            law.sampling.temperature,
            None if known is None else known.double().unsqueeze(-1),
        )


def joined(drafts: Sequence[Drafts]) -> Drafts:
    """Drafts of several sessions as one; a shorter list repeats its first id, without mass."""

    def cat(parts: Sequence[Tensor | None]) -> Tensor | None:
        there = [part for part in parts if part is not None]
        return torch.cat(there) if there else None

    ids = cat([d.ids for d in drafts])
    assert ids is not None, "every drafted token has an id"
    return Drafts(
        ids=ids,
        candidates=_joined_candidates([d.candidates for d in drafts if d.candidates is not None]),
        top_log_prob=cat([d.top_log_prob for d in drafts]),
        log_prob=cat([d.log_prob for d in drafts]),
        defer=cat([d.defer for d in drafts]),
    )


def _joined_candidates(parts: Sequence[Candidates]) -> Candidates | None:
    if not parts:
        return None
    width = max(part.ids.shape[-1] for part in parts)
    ids, drops = [], []
    for part in parts:
        missing = width - part.ids.shape[-1]
        first = part.ids[..., :1]
        none = torch.full_like(first, -1)
        ids.append(torch.cat([part.ids, *[first] * missing], -1))
        drops.append(torch.cat([part.drops, *[none] * missing], -1))
    return Candidates(torch.cat(ids), torch.cat(drops))
