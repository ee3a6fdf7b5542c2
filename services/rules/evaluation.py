"""A rule at drafted positions: its decisions and its target, on the listed tokens.

*Listed* are the tokens with ``q > 0``; where ``q`` did not cross, the drafted one alone.  Nothing
is spelled out over the vocabulary: beside the listed tokens a target is a share of ``p``
(``services.rules.target``).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.distribution import Scaled
from services.rules.drafts import Drafts
from services.rules.law import Law
from services.rules.target import Target
from services.rules.unscaled import OfLogits


@dataclass(frozen=True)
class Evaluation:
    """A law at n positions of S sessions, m listed tokens each."""

    ids: Tensor
    """The listed tokens: int64 [S, n, m].  May repeat its first entry, without mass."""
    q: Tensor
    """float64 [S, n, m].  Where ``q_known`` is false, 1 for the drafted token."""
    p: Tensor
    """float64 [S, n, m]."""
    defer: Tensor | None
    """The rule's decisions: bool [S, n, 1] or, of a token rule, [S, n, m]; None: it makes none."""
    target: Target
    """``pi``."""
    q_known: bool
    """Whether the expert knows ``q``."""
    pi_known: Tensor
    """Whether ``pi`` is known at each position: bool [S, n].  Without ``q``, only where it is p."""
    index_of_x: Tensor
    """Where in the list the drafted token stands: int64 [S, n, 1]."""

    def of_x(self, values: Tensor) -> Tensor:
        """A value of the drafted tokens, [S, n], from those of the listed ones, [S, n, m] or 1."""
        return values.expand(self.ids.shape).gather(-1, self.index_of_x).squeeze(-1)


def evaluate(law: Law, logits: Tensor, p: Scaled, drafts: Drafts) -> Evaluation:
    """Evaluates a law at drafted positions.

    Args:
        law: rule and setting.
        logits: the expert's, floating [S, n, V].
        p: the same, scaled.
        drafts: the blocks, and what crossed of ``q``.
    """
    listed = drafts.listed()
    q, p_at = listed.probabilities(), p.at(listed.ids)
    known = p.normalizer if law.sampling.neutral else None
    q1, p1 = drafts.unscaled(law), OfLogits(logits, listed.ids, known)
    q_known = p.greedy or drafts.candidates is not None
    pi_known = torch.ones_like(drafts.ids, dtype=torch.bool)
    defer: Tensor | None = None
    if law.rule.defer is None:
        target = law.rule.target(q1, p1, q, p_at, law.alpha)
    else:
        if drafts.defer is None:
            defer = law.rule.defer(q1, p1, q, p_at, law.alpha)
        else:
            defer = drafts.defer.unsqueeze(-1)
        target = law.rule.mixed(defer, q, p_at)
        if not q_known:
            # A position that is deferred as a whole follows p.
            pi_known = ~pi_known if law.rule.per_token else defer.squeeze(-1)
    return Evaluation(
        ids=listed.ids,
        q=q,
        p=p_at,
        defer=defer,
        target=target,
        q_known=q_known,
        pi_known=pi_known,
        index_of_x=(listed.ids == drafts.ids.unsqueeze(-1)).int().argmax(-1, keepdim=True),
    )
