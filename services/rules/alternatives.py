"""What the expert would most likely put in place of a drafted token that it rejects: guesses.

They choose what is worth preparing, never what is emitted.
"""

import torch
from torch import Tensor

from services.rules.law import Form, Law
from services.rules.noise import Purpose, gumbel_at, keys
from services.rules.sampling import Drafted


def alternatives(
    law: Law, logits: Tensor, drafted: Drafted, seeds: Tensor, positions: Tensor, count: int
) -> Tensor:
    """The drafter's next-best tokens, by its own distribution and the expert's noise.

    The expert's token in place of a rejected one is the argmax of its own distribution's (in
    residual form the residual's) logarithm plus keyed noise (``services.rules.acceptance``).  The
    noise is known here; ``q`` stands for the distribution.

    Args:
        law: that the answer follows.
        logits: the drafter's, floating [S, V].
        drafted: the drafted tokens, and ``q``.
        seeds, positions: int64 [S], on the host.
        count: how many.

    Returns:
        int64 [S, count], most likely first; -1 where there are no more.
    """
    if law.sampling.temperature == 0:
        scores, ids = logits.topk(min(count + 1, logits.shape[-1]))
    else:
        own = law.coupled or law.form is Form.GATE
        key = keys(seeds, positions, Purpose.EXPERT if own else Purpose.RESAMPLE)
        ids = drafted.candidates.ids
        noise = gumbel_at(key.to(ids.device, non_blocking=True), ids, logits.shape[-1])
        scores = drafted.candidates.probabilities().log() + noise
    scores = torch.where(ids == drafted.ids.unsqueeze(-1), -torch.inf, scores)
    best = scores.topk(min(count, scores.shape[-1]))
    found = torch.where(best.values > -torch.inf, ids.gather(-1, best.indices), -1)
    missing = found.new_full((len(found), count - found.shape[-1]), -1)
    return torch.cat([found, missing], -1)
