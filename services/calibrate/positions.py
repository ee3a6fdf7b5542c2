"""Both models' distributions along a continuation, as far as rules look at them.

*Listed* are the tokens with ``q > 0`` and the expert's most likely one.  Beside them every target
is a share of ``p`` (``services.rules.target``), so that nothing has to be known there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from cascade.v1 import law_pb2
from torch import Tensor

from services.rules.distribution import DROPS_PER_NAT, MAX_DROP, Candidates
from services.rules.unscaled import OfDraft

TIES = 4
"""How many of the most likely tokens are asked for where only the first is meant: among tokens that
are exactly as likely, which happens in bfloat16, the greedy one may not be listed first."""


@dataclass(frozen=True)
class Stored:
    """An unscaled distribution as it was told (``services.rules.unscaled.Unscaled``)."""

    at: Tensor
    """Probabilities of the listed tokens: float64 [n, m]."""
    top: Tensor
    """The maximum over the vocabulary: float64 [n, 1]."""
    top_index: Tensor
    """Where in the list the most likely token stands: int64 [n, 1]."""
    entropy: Tensor
    """Nats: float64 [n, 1]."""


@dataclass(frozen=True)
class Positions:
    """n positions, m listed tokens each.  Shorter lists end in entries without any mass."""

    ids: Tensor
    """int64 [n, m]; drafter's candidates first, most likely first."""
    q1: Stored
    p1: Stored
    q: Tensor
    """float64 [n, m], summing to 1: exactly what the drafter would have sampled from."""
    p: Tensor
    """float64 [n, m]."""

    def __len__(self) -> int:
        return len(self.ids)


def drafted(position: law_pb2.ScoredPosition, *, greedy: bool) -> list[tuple[int, int]]:
    """``q`` at one position as it would have crossed: pairs of id and drop, the first's drop is 0.

    Args:
        position: of the drafter, its K most likely tokens listed (at temperature 0: ``TIES``).
        greedy: whether the temperature is 0.
    """
    scaled = position.scaled_log_probs
    if greedy:
        return [(position.ids[_favourite(position, len(position.ids))], 0)]
    listed = zip(position.ids, scaled, strict=True)
    kept = [pair for pair in listed if not math.isinf(pair[1])]  # not cut by top-k or top-p
    # Of tokens that are exactly as likely top-k may have cut those that are listed first, or all.
    first = kept[0][1] if kept else 0.0
    kept = kept or [(position.ids[0], first)]
    drops = [(token, round((first - log_prob) * DROPS_PER_NAT)) for token, log_prob in kept]
    return [(token, drop) for token, drop in drops if drop <= MAX_DROP]


def positions_of(
    drafter: Sequence[law_pb2.ScoredPosition],
    expert: Sequence[law_pb2.ScoredPosition],
    temperature: float,
) -> Positions:
    """What both models said of a continuation.

    Args:
        drafter: n positions, as for ``drafted``.
        expert: the same, the ids of ``drafted`` listed behind its own ``TIES`` most likely tokens.
        temperature: of the law that both had.
    """
    greedy = temperature == 0
    ids: list[list[int]] = []
    drops: list[list[int]] = []
    log_p1: list[list[float]] = []
    log_p: list[list[float]] = []
    favourites: list[int] = []
    for of_drafter, of_expert in zip(drafter, expert, strict=True):
        q = drafted(of_drafter, greedy=greedy)
        known = dict(
            zip(
                of_expert.ids,
                zip(of_expert.log_probs, of_expert.scaled_log_probs, strict=True),
                strict=True,
            )
        )
        own = of_expert.ids[_favourite(of_expert, TIES) if greedy else 0]
        listed = list(dict.fromkeys([*(token for token, _ in q), own]))
        ids.append(listed)
        drops.append([drop for _, drop in q])
        log_p1.append([known[token][0] for token in listed])
        log_p.append([known[token][1] for token in listed])
        favourites.append(listed.index(own))
    width = max(map(len, ids))
    candidates = Candidates(_padded(ids, width, 0).long(), _padded(drops, width, -1).long())
    q_at = candidates.probabilities()
    q1 = OfDraft(candidates, temperature, _column([p.top_log_prob for p in drafter]))
    return Positions(
        ids=candidates.ids,
        q1=Stored(q1.at, q1.top, q1.top_index, _column([p.entropy for p in drafter])),
        p1=Stored(
            _padded(log_p1, width, -math.inf).exp(),
            _column([p.top_log_prob for p in expert]).exp(),
            _column(favourites).long(),
            _column([p.entropy for p in expert]),
        ),
        q=q_at,
        p=_padded(log_p, width, -math.inf).exp(),
    )


def _favourite(position: law_pb2.ScoredPosition, among: int) -> int:
    """Where in the list the greedy token stands; the first, should it be none of ``among``."""
    scaled = position.scaled_log_probs[:among]
    return next((i for i, log_prob in enumerate(scaled) if not math.isinf(log_prob)), 0)


def _padded(rows: Sequence[Sequence[float]], width: int, value: float) -> Tensor:
    """float64 [n, width].  Ids and drops are exact in it."""
    return torch.tensor(
        [[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.float64
    )


def _column(values: Sequence[float]) -> Tensor:
    """float64 [n, 1]."""
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)
