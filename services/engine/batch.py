"""The packed batch of one pass: the new tokens of several sessions in one row, without padding."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from services.engine.cache import KeyValueCache, Slot
from services.engine.pages import PAGE

Rows = slice | Tensor


@dataclass(frozen=True)
class Part:
    """One session's part of a pass."""

    slot: Slot
    """Has room for the tokens."""
    tokens: Sequence[int]
    """What to feed: at least one."""
    rows: int
    """How many of the last positions' logits are wanted; 0: none."""


@dataclass(frozen=True)
class Group:
    """Sessions whose attention is one call: S of them, each with n queries and up to T keys."""

    sessions: int
    rows: Rows
    """Where their queries stand among the pass's tokens: S * n."""
    pages: Tensor | None
    """Their pages, int64 [S * T / PAGE].  None: one session, whose keys lie in ``span``."""
    span: slice
    """Of one session's keys: where they lie in the cache, or in its own pages."""
    mask: Tensor | None
    """What is added to the scores, [S, 1, n, T]; None: every query sees every key."""


@dataclass(frozen=True)
class Packed:
    """What a pass of N new tokens is computed from."""

    cache: KeyValueCache
    ids: Tensor
    """int64 [1, N]."""
    positions: Tensor
    """int64 [1, N]: in each one's own session."""
    written: Tensor
    """int64 [N]: where in the cache their keys and values go."""
    kept: Tensor
    """int64 [R]: of which tokens the logits are computed."""
    groups: Sequence[Group]
    order: Tensor | None = None
    """int64, of each token in a group: where it stands among the groups' rows, one group's behind
    another's.  None: as it stands in the pass."""


def pack(
    cache: KeyValueCache,
    parts: Sequence[Part],
    dtype: torch.dtype,
    device: torch.device,
    *,
    pad: bool = False,
    together: bool = False,
) -> Packed:
    """Packs the parts in their order.

    Args:
        cache: that of all their slots.
        parts: at least one.
        dtype: of the scores' masks.
        device: where the model is.
        pad: fills up N and R to powers of two, so that few shapes occur.
        together: whether sessions share calls of the attention.  Better on a device, where calls
            cost more than padding; on the CPU each session is read where it lies.
    """
    ids: list[int] = []
    positions: list[int] = []
    written: list[int] = []
    kept: list[int] = []
    starts: list[int] = []
    for part in parts:
        starts.append(len(ids))
        past, end = part.slot.length, part.slot.length + len(part.tokens)
        ids.extend(part.tokens)
        positions.extend(range(past, end))
        pages = part.slot.pages
        written.extend(pages[i // PAGE] * PAGE + i % PAGE for i in range(past, end))
        kept.extend(range(len(ids) - part.rows, len(ids)))
    kept = kept or [len(ids) - 1]  # models do not compute no row
    if pad:
        missing = _power_of_two(len(ids)) - len(ids)
        ids += [0] * missing
        positions += [0] * missing
        written += [cache.scratch] * missing
        kept += kept[-1:] * (_power_of_two(len(kept)) - len(kept))
    head = torch.tensor([ids, positions, written]).to(device, non_blocking=True)
    members = _alike(parts) if together else [[i] for i in range(len(parts))]
    return Packed(
        cache=cache,
        ids=head[:1],
        positions=head[1:2],
        written=head[2],
        kept=torch.tensor(kept).to(device, non_blocking=True),
        groups=[
            _together(cache, [parts[i] for i in of], [starts[i] for i in of], dtype, device)
            if together
            else _alone(parts[of[0]], starts[of[0]], dtype, device)
            for of in members
        ],
        order=_order(parts, starts, members, device),
    )


def _power_of_two(n: int) -> int:
    """The least that is not below n."""
    return 1 << (n - 1).bit_length()


def _alike(parts: Sequence[Part]) -> list[list[int]]:
    """Those that share a call: sessions that feed as much and hold about as much."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, part in enumerate(parts):
        # Padding costs at most as much again.
        alike[len(part.tokens), _power_of_two(_pages(part))].append(i)
    return list(alike.values())


def _order(
    parts: Sequence[Part],
    starts: Sequence[int],
    members: Sequence[Sequence[int]],
    device: torch.device,
) -> Tensor | None:
    """See Packed."""
    parts_in_turn = [i for of in members for i in of]
    if parts_in_turn == sorted(parts_in_turn):
        return None
    stands = [starts[i] + j for i in parts_in_turn for j in range(len(parts[i].tokens))]
    return torch.tensor(stands).argsort().to(device, non_blocking=True)


def _pages(part: Part) -> int:
    return -(-(part.slot.length + len(part.tokens)) // PAGE)


def _alone(part: Part, start: int, dtype: torch.dtype, device: torch.device) -> Group:
    n, length = len(part.tokens), part.slot.length + len(part.tokens)
    pages = part.slot.pages[: _pages(part)]
    in_a_row = all(b == a + 1 for a, b in pairwise(pages))
    first = pages[0] * PAGE if in_a_row else 0
    return Group(
        sessions=1,
        rows=slice(start, start + n),
        pages=None if in_a_row else torch.tensor(pages).to(device, non_blocking=True),
        span=slice(first, first + length),
        mask=None if n == 1 else _mask([part], length, dtype, device),
    )


def _together(
    cache: KeyValueCache,
    parts: Sequence[Part],
    starts: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
) -> Group:
    n, width = len(parts[0].tokens), max(_pages(part) for part in parts)
    nobodys = cache.scratch // PAGE
    pages = [[*p.slot.pages[: _pages(p)], *[nobodys] * (width - _pages(p))] for p in parts]
    rows = torch.tensor([range(start, start + n) for start in starts]).flatten()
    return Group(
        sessions=len(parts),
        rows=rows.to(device, non_blocking=True),
        pages=torch.tensor(pages).flatten().to(device, non_blocking=True),
        span=slice(0, width * PAGE),
        mask=_mask(parts, width * PAGE, dtype, device),
    )


def _mask(parts: Sequence[Part], keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """-inf where a query must not see a key: [S, 1, n, keys]."""
    n = len(parts[0].tokens)
    past = torch.tensor([part.slot.length for part in parts]).to(device, non_blocking=True)
    last = past.view(-1, 1, 1, 1) + torch.arange(n, device=device).view(1, 1, -1, 1)
    hidden = torch.arange(keys, device=device) > last
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, -torch.inf)
