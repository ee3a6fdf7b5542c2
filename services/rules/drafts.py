"""Drafted blocks as the expert has them: the tokens, and what crossed of ``q``."""

from dataclasses import dataclass

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
