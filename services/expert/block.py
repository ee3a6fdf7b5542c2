"""A drafted block from the wire: what its law wants of it, and as tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from cascade.v1 import law_pb2

from services.errors import InvalidField
from services.pod.law import SessionLaw
from services.pod.stream import check_tokens
from services.rules.distribution import MAX_DROP, Candidates
from services.rules.drafts import Drafts
from services.rules.law import Crossing

MAX_BLOCK = 256

_ROUNDING = 1e-4
"""How far above 0 a log-probability may be for its rounding."""


def check_block(
    block: Sequence[law_pb2.DraftedToken], law: SessionLaw, vocabulary_size: int
) -> None:
    """Refuses a block that can't have been drafted under the law.

    Raises:
        InvalidField: naming the token and what is wrong with it.
    """
    if len(block) > MAX_BLOCK:
        raise InvalidField(("block", f"must have at most {MAX_BLOCK} tokens, got {len(block)}"))
    check_tokens("block", [token.id for token in block], vocabulary_size)
    crossing = law.law.crossing
    for j, token in enumerate(block):
        _check_candidates(f"block[{j}].candidates", token, law, vocabulary_size)
        if crossing.top_log_prob:
            given = token.top_log_prob if token.HasField("top_log_prob") else None
            _check_log_prob(f"block[{j}].top_log_prob", given)
        if crossing.log_prob:
            given = token.log_prob if token.HasField("log_prob") else None
            _check_log_prob(f"block[{j}].log_prob", given)
        if crossing.defer and not token.HasField("defer"):
            raise InvalidField((f"block[{j}].defer", "must be set: the rule is the drafter's"))


def _check_log_prob(field: str, value: float | None) -> None:
    if value is None or not value <= _ROUNDING:  # NaN is no log-probability, either
        got = "none" if value is None else f"{value:g}"
        raise InvalidField((field, f"must be set and at most 0, got {got}"))


def _check_candidates(
    field: str, token: law_pb2.DraftedToken, law: SessionLaw, vocabulary_size: int
) -> None:
    q = token.candidates
    if not law.law.crossing.candidates:
        if q.ids:
            raise InvalidField((field, f"must be unset: the law needs none, got {len(q.ids)}"))
        return
    check_tokens(f"{field}.ids", list(q.ids), vocabulary_size)
    most = law.law.candidates
    if not 1 <= len(q.ids) <= most or len(q.drops) != len(q.ids):
        raise InvalidField(
            (
                field,
                f"must have 1 to {most} ids and as many drops, got {len(q.ids)} and {len(q.drops)}",
            )
        )
    if len(set(q.ids)) != len(q.ids):
        raise InvalidField((field, "ids must differ from each other"))
    if token.id not in q.ids:
        raise InvalidField((field, f"must hold the drafted token {token.id}"))
    if q.drops[0] != 0:
        raise InvalidField((field, f"the first drop must be 0, got {q.drops[0]}"))
    if max(q.drops) > MAX_DROP:
        raise InvalidField((field, f"drops must be at most {MAX_DROP}, got {max(q.drops)}"))


def to_drafts(
    block: Sequence[law_pb2.DraftedToken], crossing: Crossing, device: torch.device
) -> Drafts:
    """A checked block as one session's drafts, S = 1."""

    def scalars(name: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([[getattr(token, name) for token in block]], dtype=dtype, device=device)

    return Drafts(
        ids=scalars("id", torch.int64),
        candidates=_candidates(block, device) if crossing.candidates else None,
        top_log_prob=scalars("top_log_prob", torch.float64) if crossing.top_log_prob else None,
        log_prob=scalars("log_prob", torch.float64) if crossing.log_prob else None,
        defer=scalars("defer", torch.bool) if crossing.defer else None,
    )


def _candidates(block: Sequence[law_pb2.DraftedToken], device: torch.device) -> Candidates:
    """``q`` of a checked block, [1, n, K]; a shorter list repeats its first id, without mass."""
    width = max(len(token.candidates.ids) for token in block)
    pairs = np.full((2, 1, len(block), width), -1)
    for j, token in enumerate(block):
        q = token.candidates
        pairs[0, 0, j] = q.ids[0]
        pairs[:, 0, j, : len(q.ids)] = q.ids, q.drops
    ids, drops = torch.from_numpy(pairs).to(device)
    return Candidates(ids, drops)
