"""A law as the engine's side uses it: checked, and in the terms of ``services.rules``."""

from collections.abc import Hashable
from dataclasses import dataclass

from cascade.v1 import law_pb2 as pb
from torch import Tensor

from services.rules.distribution import Sampling
from services.rules.law import Crossing, Form, Law
from services.rules.noise import seeds_tensor
from services.rules.registry import RULES
from services.serving import law as laws


@dataclass(frozen=True)
class SessionLaw:
    """What a session's tokens follow."""

    law: Law
    """In a mode without a rule for blocks: lossless."""
    sends: Crossing
    """What the drafter sends beside each token's id; of blocks, what the expert needs."""
    stops_at_deferral: bool
    """Whether a drafted block ends at the first position that the drafter defers."""
    verifies_blocks: bool
    """Whether the expert is sent blocks.  In the sequence cascade only where that is exact."""
    seeds: Tensor
    """int64 [1], on the host."""

    @property
    def kind(self) -> Hashable:
        """All but the seed: sessions of one kind decide in one call."""
        return self.law, self.sends, self.stops_at_deferral

    @classmethod
    def from_proto(cls, law: pb.Law) -> "SessionLaw":
        """Checks and translates.

        Raises:
            InvalidField: a value that can't be.
        """
        laws.check(law)
        blocks = law.mode in (pb.MODE_SPECULATIVE, pb.MODE_SPECULATIVE_CASCADE)
        token_cascade = law.mode == pb.MODE_TOKEN_CASCADE
        followed = Law(
            rule=RULES[laws.rule_name(law.rule) if blocks or token_cascade else "lossless"],
            alpha=law.alpha,
            sampling=Sampling(law.temperature, law.top_k, law.top_p),
            candidates=law.candidates,
            form=Form.GATE if law.form == pb.FORM_GATE else Form.RESIDUAL,
            coupled=blocks and law.coupling == pb.COUPLING_GUMBEL,
        )
        if blocks:
            sends = followed.crossing
        else:
            sends = Crossing(log_prob=law.mode == pb.MODE_SEQUENCE_CASCADE, defer=token_cascade)
        greedy_sequence = law.mode == pb.MODE_SEQUENCE_CASCADE and law.temperature == 0
        return cls(
            law=followed,
            sends=sends,
            stops_at_deferral=token_cascade,
            verifies_blocks=blocks or greedy_sequence,
            seeds=seeds_tensor([law.seed]),
        )
