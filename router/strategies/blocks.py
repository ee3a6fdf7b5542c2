"""What a pipeline is made of: blocks that are drafted, sent, prepared."""

from dataclasses import dataclass, field

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2

from router.sessions import Fork


@dataclass
class Block:
    """Drafted tokens."""

    tokens: list[law_pb2.DraftedToken] = field(default_factory=list)
    alternatives: list[list[int]] = field(default_factory=list)
    """Of each token, the next-best first; none where they were not asked for."""
    top_probs: list[float] = field(default_factory=list)
    """Of each token the drafter's max q1; none where they were not asked for."""

    def extend(self, piece: drafter_pb2.DraftedBlock) -> None:
        """Adds a piece."""
        self.tokens.extend(piece.tokens)
        self.alternatives.extend(list(known.ids) for known in piece.alternatives)
        self.top_probs.extend(piece.top_probs)

    def part(self, start: int, end: int | None = None) -> "Block":
        """Some of the tokens."""
        part = slice(start, end)
        return Block(self.tokens[part], self.alternatives[part], self.top_probs[part])


@dataclass
class Outcome:
    """A fork of the draft that runs, or ran last."""

    index: int
    """Among those that were ordered."""
    fork: Fork
    block: Block | None = None
    """What was drafted on it, once that is there."""


@dataclass
class Flight:
    """A block that is on its way to the expert, or back."""

    base: int
    """Tokens before it."""
    drafted: Block
    ahead: bool
    """Whether tokens before it were only predicted when it began."""
    forked: bool = False
    """Whether it had been prepared on a fork."""
    replayed: bool = False
    sent: float | None = None
    """When, on the caller's clock, where no other was under way."""

    @property
    def block(self) -> list[law_pb2.DraftedToken]:
        """Its tokens."""
        return self.drafted.tokens

    @property
    def end(self) -> int:
        """Tokens up to its end."""
        return self.base + len(self.block)


def add_log_probs(
    accepted: list[expert_pb2.EmittedToken], block: list[law_pb2.DraftedToken]
) -> None:
    """What the drafter said of accepted tokens, where the expert does not know it."""
    for emitted, drafted in zip(accepted, block, strict=False):
        if drafted.HasField("scaled_log_prob") and not emitted.log_probs.HasField("drafter"):
            emitted.log_probs.drafter = drafted.scaled_log_prob
