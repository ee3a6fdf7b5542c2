"""A drafted block off the wire: what its law wants of it, checked, and as tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from cascade.v1 import law_pb2
from numpy.typing import NDArray
from torch import Tensor

from services.errors import InvalidField
from services.pod.law import SessionLaw
from services.pod.stream import check_tokens
from services.rules.distribution import MAX_DROP, Candidates
from services.rules.drafts import Drafts

MAX_BLOCK = 256

_ROUNDING = 1e-4
"""How far above 0 a log-probability may be for its rounding."""


@dataclass(frozen=True)
class CheckedBlock:
    """A checked block of n tokens.  What does not cross under its law is None."""

    ids: NDArray[np.int64]
    """[n]."""
    candidates: NDArray[np.int64] | None
    """Ids and drops, [2, n, K]; a shorter list repeats its first id, without mass."""
    top_log_prob: NDArray[np.float64] | None
    """[n]."""
    log_prob: NDArray[np.float64] | None
    """[n]."""
    defer: NDArray[np.bool_] | None
    """[n]."""

    @classmethod
    def read(
        cls, block: Sequence[law_pb2.DraftedToken], law: SessionLaw, vocabulary_size: int
    ) -> "CheckedBlock":
        """Checks and reads.

        Raises:
            InvalidField: naming the token that can't have been drafted under the law, and why.
        """
        if len(block) > MAX_BLOCK:
            raise InvalidField(("block", f"must have at most {MAX_BLOCK} tokens, got {len(block)}"))
        ids = [token.id for token in block]
        check_tokens("block", ids, vocabulary_size)
        crossing = law.law.crossing
        candidates = None
        if not crossing.candidates:
            _refuse_candidates(block)
        elif block:
            candidates = _read_candidates(block, law.law.candidates, vocabulary_size)
        return cls(
            ids=np.array(ids, np.int64),
            candidates=candidates,
            top_log_prob=_read_log_probs(block, "top_log_prob") if crossing.top_log_prob else None,
            log_prob=_read_log_probs(block, "log_prob") if crossing.log_prob else None,
            defer=_read_deferrals(block) if crossing.defer else None,
        )


def to_drafts(blocks: Sequence[CheckedBlock], device: torch.device) -> Drafts:
    """Blocks of one length and law, as S sessions' drafts."""

    def stacked(arrays: list[NDArray[np.generic] | None]) -> Tensor | None:
        there = [array for array in arrays if array is not None]
        return torch.from_numpy(np.stack(there)).to(device) if there else None

    ids = stacked([block.ids for block in blocks])
    assert ids is not None, "every drafted token has an id"
    return Drafts(
        ids=ids,
        candidates=_stacked([b.candidates for b in blocks if b.candidates is not None], device),
        top_log_prob=stacked([block.top_log_prob for block in blocks]),
        log_prob=stacked([block.log_prob for block in blocks]),
        defer=stacked([block.defer for block in blocks]),
    )


def _stacked(parts: Sequence[NDArray[np.int64]], device: torch.device) -> Candidates | None:
    if not parts:
        return None
    width = max(part.shape[-1] for part in parts)
    padded = [part if part.shape[-1] == width else _padded(part, width) for part in parts]
    return Candidates(*torch.from_numpy(np.stack(padded, axis=1)).to(device))


def _padded(pairs: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    _, n, there = pairs.shape
    wider = np.full((2, n, width), -1)
    wider[0] = pairs[0, :, :1]
    wider[..., :there] = pairs
    return wider


def _refuse_candidates(block: Sequence[law_pb2.DraftedToken]) -> None:
    for j, token in enumerate(block):
        if got := len(token.candidates.ids):
            raise _wrong(j, f"must be unset: the law needs none, got {got}")


def _read_candidates(
    block: Sequence[law_pb2.DraftedToken], most: int, vocabulary_size: int
) -> NDArray[np.int64]:
    """Ids and drops, [2, n, K]."""
    counts = [len(token.candidates.ids) for token in block]
    for j, (token, count) in enumerate(zip(block, counts, strict=True)):
        drops = len(token.candidates.drops)
        if not 1 <= count <= most or drops != count:
            raise _wrong(j, f"must have 1 to {most} ids and as many drops, got {count} and {drops}")
    pairs = np.full((2, len(block), max(counts)), -1)
    pairs[0] = np.arange(-pairs.shape[-1], 0)  # where there is none: each another
    for j, (token, count) in enumerate(zip(block, counts, strict=True)):
        pairs[0, j, :count] = list(token.candidates.ids)
        pairs[1, j, :count] = list(token.candidates.drops)
    _check_candidates(block, pairs[0], pairs[1], vocabulary_size)
    pairs[0] = np.where(pairs[0] < 0, pairs[0, :, :1], pairs[0])
    return pairs


def _check_candidates(
    block: Sequence[law_pb2.DraftedToken],
    ids: NDArray[np.int64],
    drops: NDArray[np.int64],
    vocabulary_size: int,
) -> None:
    """Of [n, K]; an id below 0 is none."""
    if ids.max() >= vocabulary_size:
        for j, token in enumerate(block):
            check_tokens(f"block[{j}].candidates.ids", list(token.candidates.ids), vocabulary_size)
    in_order, drafted = np.sort(ids), np.array([token.id for token in block])
    wrong_at: list[tuple[NDArray[np.bool_], Callable[[int], str]]] = [
        (
            (in_order[:, 1:] == in_order[:, :-1]).any(-1),
            lambda j: "ids must differ",
        ),
        (
            (ids != drafted[:, None]).all(-1),
            lambda j: f"must hold the drafted token {drafted[j]}",
        ),
        (drops[:, 0] != 0, lambda j: f"the first drop must be 0, got {drops[j, 0]}"),
        (
            drops.max(-1) > MAX_DROP,
            lambda j: f"drops must be at most {MAX_DROP}, got {drops[j].max()}",
        ),
    ]
    for wrong, what in wrong_at:
        if wrong.any():
            j = int(wrong.argmax())
            raise _wrong(j, what(j))


def _wrong(j: int, what: str) -> InvalidField:
    return InvalidField((f"block[{j}].candidates", what))


def _read_log_probs(
    block: Sequence[law_pb2.DraftedToken], name: Literal["top_log_prob", "log_prob"]
) -> NDArray[np.float64]:
    values = [getattr(token, name) if token.HasField(name) else None for token in block]
    for j, value in enumerate(values):
        if value is None or not value <= _ROUNDING:  # NaN is no log-probability, either
            got = "none" if value is None else f"{value:g}"
            raise InvalidField((f"block[{j}].{name}", f"must be set and at most 0, got {got}"))
    return np.array(values, np.float64)


def _read_deferrals(block: Sequence[law_pb2.DraftedToken]) -> NDArray[np.bool_]:
    for j, token in enumerate(block):
        if not token.HasField("defer"):
            raise InvalidField((f"block[{j}].defer", "must be set: the rule is the drafter's"))
    return np.array([token.defer for token in block], np.bool_)
