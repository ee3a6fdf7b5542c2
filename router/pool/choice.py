"""Which pod gets a session: a pure function of what the pods reported."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

AFFINE_TOKENS = 32
"""Of a prompt, that prompts which may share a cached prefix have in common."""
_GRADES = 4
"""Loads in the same quarter of a pod's slots are equally good."""


@dataclass(frozen=True)
class Load:
    """A pod, as far as the choice is concerned."""

    address: str
    zone: str
    slots: int
    """At least 1."""
    free: int
    """Of the slots; with what this router has opened since the pod told.  Never below 0."""
    waiting: int
    """Sessions that wait for a slot, with those opened since."""
    failing: bool = False
    """Whether a step of a session failed on it lately, which leaves its slots free."""


def choose(pods: Iterable[Load], zone: str, prompt: Sequence[int]) -> Load | None:
    """The best pod; None: there is none.

    One whose steps fail comes last.  One with a free slot comes before one with a queue, then one
    of the router's own zone, then the one with more of its slots free, or the shorter queue.  Among
    equals the prompt's first tokens decide, always alike, so that prompts that begin alike meet in
    one cache.

    Args:
        pods: those that may be given a session.
        zone: the router's own; empty: any is as good.
        prompt: token ids.
    """
    head = b"".join(token.to_bytes(4, "little") for token in prompt[:AFFINE_TOKENS])

    def rank(pod: Load) -> tuple[bool, bool, bool, float, bytes]:
        far = bool(zone) and pod.zone != zone
        grade = -math.ceil(_GRADES * pod.free / pod.slots) if pod.free else pod.waiting / pod.slots
        return pod.failing, not pod.free, far, grade, _affinity(head, pod.address)

    return min(pods, key=rank, default=None)


def _affinity(head: bytes, address: str) -> bytes:
    """Rendezvous hashing: a pod that comes or goes moves none of the other prompts."""
    return blake2b(address.encode(), key=blake2b(head, digest_size=32).digest()).digest()
