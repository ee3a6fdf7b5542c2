"""A law as the engine's side uses it: checked, and in the terms of ``services.rules``."""

from dataclasses import dataclass

from cascade.v1 import law_pb2 as pb
from torch import Tensor, device

from services.rules.acceptance import allows_bonus
from services.rules.distribution import Sampling
from services.rules.noise import seeds_tensor
from services.rules.targets import TARGETS, Target
from services.serving import law as laws


@dataclass(frozen=True)
class SessionLaw:
    """What a session's tokens follow."""

    sampling: Sampling
    candidates: int
    """K."""
    alpha: float
    target: Target
    bonus: bool
    """Whether a bonus token may follow a block that was accepted whole."""
    sends_candidates: bool
    """Whether the expert needs the drafter's ``q``.  At temperature 0 it is the token itself."""
    seeds: Tensor
    """int64 [1]."""

    @classmethod
    def from_proto(cls, law: pb.Law, where: device) -> "SessionLaw":
        """Checks and translates.

        Raises:
            InvalidField: a value that can't be.
            NotServed: a law that this version does not serve.
        """
        laws.check(law)
        sampling = Sampling(law.temperature, law.top_k, law.top_p)
        rule = laws.rule_name(law.rule) if law.rule else "lossless"
        drafts = law.mode in (pb.MODE_SPECULATIVE, pb.MODE_SPECULATIVE_CASCADE)
        return cls(
            sampling=sampling,
            candidates=law.candidates,
            alpha=law.alpha,
            target=TARGETS[rule],
            bonus=allows_bonus(rule, sampling),
            sends_candidates=drafts and law.temperature > 0,
            seeds=seeds_tensor([law.seed], where),
        )
