"""A drafted block off the wire: what its law wants of it, checked, and as tensors.

It is checked as it comes, in plain lists: a few numbers, on a thread that has slept until then,
cost less so than in arrays.  Tensors are made of all blocks of a pass at once.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import torch
from cascade.v1 import law_pb2
from torch import Tensor

from services.errors import InvalidField
from services.pod.law import SessionLaw
from services.pod.stream import check_tokens
from services.rules.distribution import MAX_DROP, Candidates
from services.rules.drafts import Drafts

MAX_BLOCK = 256

_ROUNDING = 1e-4
"""How far above 0 a log-probability may be for its rounding."""
_INT64 = "q"
"""As ``array`` knows it."""

T = TypeVar("T")


class Listed(NamedTuple):
    """A token's candidates: at most K ids, and as many drops."""

    ids: "array[int]"
    drops: "array[int]"


@dataclass(frozen=True)
class CheckedBlock:
    """A checked block of n tokens.  What does not cross under its law is None."""

    ids: list[int]
    candidates: list[Listed] | None
    top_log_prob: list[float] | None
    log_prob: list[float] | None
    defer: list[bool] | None

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
        if crossing.candidates:
            most = law.law.candidates
            candidates = [
                _read_candidates(j, t, most, vocabulary_size) for j, t in enumerate(block)
            ]
        else:
            _refuse_candidates(block)
        return cls(
            ids=ids,
            candidates=candidates,
            top_log_prob=_read_log_probs(block, "top_log_prob") if crossing.top_log_prob else None,
            log_prob=_read_log_probs(block, "log_prob") if crossing.log_prob else None,
            defer=_read_deferrals(block) if crossing.defer else None,
        )


def to_drafts(blocks: Sequence[CheckedBlock], device: torch.device) -> Drafts:
    """Blocks of one length, at least one token, and of one law, as S sessions' drafts."""

    def tensor(values: list[list[T] | None], dtype: torch.dtype) -> Tensor | None:
        there = [value for value in values if value is not None]
        return torch.tensor(there, dtype=dtype).to(device, non_blocking=True) if there else None

    ids = tensor([block.ids for block in blocks], torch.int64)
    assert ids is not None, "every drafted token has an id"
    return Drafts(
        ids=ids,
        candidates=_stacked([b.candidates for b in blocks if b.candidates is not None], device),
        top_log_prob=tensor([block.top_log_prob for block in blocks], torch.float64),
        log_prob=tensor([block.log_prob for block in blocks], torch.float64),
        defer=tensor([block.defer for block in blocks], torch.bool),
    )


def _stacked(blocks: Sequence[list[Listed]], device: torch.device) -> Candidates | None:
    """[S, n, K].  A shorter list repeats its first id, without mass."""
    if not blocks:
        return None
    listed = [token for block in blocks for token in block]
    width = max(len(token.ids) for token in listed)
    ids = bytearray().join(_padded(token.ids, width, token.ids[0]) for token in listed)
    drops = bytearray().join(_padded(token.drops, width, -1) for token in listed)
    shape = len(blocks), -1, width
    both = (torch.frombuffer(values, dtype=torch.int64).view(shape) for values in (ids, drops))
    return Candidates(*(values.to(device, non_blocking=True) for values in both))


def _padded(values: "array[int]", width: int, filler: int) -> "array[int]":
    if missing := width - len(values):
        return values + array(_INT64, [filler]) * missing
    return values


def _refuse_candidates(block: Sequence[law_pb2.DraftedToken]) -> None:
    for j, token in enumerate(block):
        if got := len(token.candidates.ids):
            raise _wrong(j, f"must be unset: the law needs none, got {got}")


def _read_candidates(
    j: int, token: law_pb2.DraftedToken, most: int, vocabulary_size: int
) -> Listed:
    ids = array(_INT64, token.candidates.ids)
    drops = array(_INT64, token.candidates.drops)
    if not 1 <= len(ids) <= most or len(drops) != len(ids):
        got = f"got {len(ids)} and {len(drops)}"
        raise _wrong(j, f"must have 1 to {most} ids and as many drops, {got}")
    if max(ids) >= vocabulary_size:
        check_tokens(f"block[{j}].candidates.ids", list(ids), vocabulary_size)
    if len(set(ids)) < len(ids):
        raise _wrong(j, "ids must differ")
    if token.id not in ids:
        raise _wrong(j, f"must hold the drafted token {token.id}")
    if drops[0]:
        raise _wrong(j, f"the first drop must be 0, got {drops[0]}")
    if (largest := max(drops)) > MAX_DROP:
        raise _wrong(j, f"drops must be at most {MAX_DROP}, got {largest}")
    return Listed(ids, drops)


def _wrong(j: int, what: str) -> InvalidField:
    return InvalidField((f"block[{j}].candidates", what))


def _read_log_probs(
    block: Sequence[law_pb2.DraftedToken], name: Literal["top_log_prob", "log_prob"]
) -> list[float]:
    values: list[float] = []
    for j, token in enumerate(block):
        value = getattr(token, name) if token.HasField(name) else None
        if value is None or not value <= _ROUNDING:  # NaN is no log-probability, either
            got = "none" if value is None else f"{value:g}"
            raise InvalidField((f"block[{j}].{name}", f"must be set and at most 0, got {got}"))
        values.append(value)
    return values


def _read_deferrals(block: Sequence[law_pb2.DraftedToken]) -> list[bool]:
    for j, token in enumerate(block):
        if not token.HasField("defer"):
            raise InvalidField((f"block[{j}].defer", "must be set: the rule is the drafter's"))
    return [token.defer for token in block]
