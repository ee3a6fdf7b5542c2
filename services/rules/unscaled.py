"""What rules look at of an unscaled distribution, ``q1`` or ``p1``, on a list of m tokens.

The list is the whole vocabulary where arrays are whole, and the drafter's candidates where only
these crossed: every rule needs no more than its values there, its maximum and its entropy.
"""

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from services.rules.distribution import DROPS_PER_NAT, Candidates


class Unscaled(Protocol):
    """An unscaled distribution at some positions."""

    @property
    def at(self) -> Tensor:
        """Probabilities of the listed tokens: [..., m]."""

    @property
    def top(self) -> Tensor:
        """The maximum over the vocabulary: [..., 1]."""

    @property
    def top_index(self) -> Tensor:
        """Where in the list the most likely token stands: int64 [..., 1]."""

    @property
    def entropy(self) -> Tensor:
        """Nats: [..., 1]."""


class OfProbabilities:
    """Of whole rows [..., V]."""

    def __init__(self, probabilities: Tensor) -> None:
        self.at = probabilities

    @cached_property
    def top(self) -> Tensor:
        """See Unscaled."""
        return self.at.amax(-1, keepdim=True)

    @cached_property
    def top_index(self) -> Tensor:
        """See Unscaled."""
        return self.at.argmax(-1, keepdim=True)

    @cached_property
    def entropy(self) -> Tensor:
        """See Unscaled."""
        weighted: Tensor = torch.special.xlogy(self.at, self.at)
        return -weighted.sum(-1, keepdim=True)


class OfLogits:
    """Of a model's logits [..., V], listed at ``ids`` [..., m]; computes only what is asked for."""

    def __init__(self, logits: Tensor, ids: Tensor, normalizer: Tensor | None = None) -> None:
        """``normalizer``: the logits' ``log sum exp``, float64 [..., 1], where it is known."""
        self._logits = logits
        self._ids = ids
        self._normalizer = normalizer

    @cached_property
    def normalizer(self) -> Tensor:
        """``log sum exp`` of the logits: float64 [..., 1]."""
        if self._normalizer is not None:
            return self._normalizer
        total: Tensor = self._logits.logsumexp(-1, keepdim=True)
        return total.double()

    @cached_property
    def log_at(self) -> Tensor:
        """Log-probabilities of the listed tokens: float64 [..., m]."""
        return self._logits.gather(-1, self._ids).double() - self.normalizer

    @cached_property
    def log_top(self) -> Tensor:
        """Log-probability of the most likely token: float64 [..., 1]."""
        return self._logits.amax(-1, keepdim=True).double() - self.normalizer

    @property
    def at(self) -> Tensor:
        """See Unscaled."""
        return self.log_at.exp()

    @property
    def top(self) -> Tensor:
        """See Unscaled."""
        return self.log_top.exp()

    @property
    def top_index(self) -> Tensor:
        """See Unscaled; the list has to hold the most likely token."""
        return self.log_at.argmax(-1, keepdim=True)

    @cached_property
    def entropy(self) -> Tensor:
        """See Unscaled."""
        log_probs = self._logits.double() - self.normalizer
        probabilities = log_probs.exp()
        # An impossible token adds nothing: 0 log 0 is 0.
        weighted = torch.where(probabilities > 0, probabilities * log_probs, 0.0)
        return -weighted.sum(-1, keepdim=True)


class OfDraft:
    """``q1`` as the expert knows it: the candidates' drops, the temperature and one normaliser.

    ``log q1(v) = log max q1 - T drop(v) / 512`` (docs/rules.md, "What crosses the network").
    """

    def __init__(
        self, candidates: Candidates, temperature: float, top_log_prob: Tensor | None
    ) -> None:
        """``top_log_prob``: log max q1, floating [..., 1]; None where no rule asks for it."""
        self._candidates = candidates
        self._temperature = temperature
        self._top_log_prob = top_log_prob

    @property
    def top(self) -> Tensor:
        """See Unscaled."""
        assert self._top_log_prob is not None, "what the rule looks at has crossed"
        return self._top_log_prob.exp()

    @property
    def top_index(self) -> Tensor:
        """See Unscaled: candidates come most likely first."""
        return torch.zeros_like(self._candidates.ids[..., :1])

    @property
    def at(self) -> Tensor:
        """See Unscaled."""
        drops = self._candidates.drops
        below = torch.exp(drops.double() * (-self._temperature / DROPS_PER_NAT))
        return self.top * torch.where(drops >= 0, below, 0.0)

    @property
    def entropy(self) -> Tensor:
        """See Unscaled.  Never crosses: rules that look at it alone are the drafter's to decide."""
        raise AttributeError("the entropy of q1 is not known to the expert")
