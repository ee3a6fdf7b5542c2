"""The law of the procedure, enumerated: the coin is integrated over, nothing is drawn.

Distributions, targets and residual are those that the services call.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules import acceptance
from services.rules.distribution import Sampling, candidates, scaled
from services.rules.targets import TARGETS
from tests.laws.tables import Tables


@dataclass(frozen=True)
class Law:
    """A rule and a setting."""

    rule: str
    alpha: float
    sampling: Sampling
    k: int
    """K."""

    def __str__(self) -> str:
        return f"{self.rule}-{self.alpha:g}-K{self.k}"


@dataclass(frozen=True)
class Position:
    """The distributions at one depth of the tables: [V ** d, V] each, float64."""

    q: Tensor
    p: Tensor
    pi: Tensor


def positions(tables: Tables, law: Law) -> list[Position]:
    """The distributions at each depth."""
    found = []
    for drafter, expert in zip(tables.drafter, tables.expert, strict=True):
        logits = expert.double()
        q = candidates(drafter.double(), law.sampling, law.k).dense(tables.size, torch.float64)
        p = scaled(logits, law.sampling)
        found.append(Position(q, p, TARGETS[law.rule](None, logits.softmax(-1), q, p, law.alpha)))
    return found


def joint(conditionals: list[Tensor]) -> Tensor:
    """The product law of all tokens, [V ** depth], from one table [V ** d, V] for each depth."""
    law = torch.ones(1, dtype=torch.float64)
    for table in conditionals:
        law = (law.unsqueeze(-1) * table).flatten()
    return law


def target_law(tables: Tables, law: Law) -> Tensor:
    """The law that the tokens are to have: the product of ``pi``."""
    return joint([position.pi for position in positions(tables, law)])


class Procedure:
    """What happens to drafted tokens, as probabilities."""

    def at(self, tables: Tables, law: Law) -> list[Position]:
        """The distributions that tokens are verified with."""
        return positions(tables, law)

    def replacement(self, at: Position) -> Tensor:
        """The unnormalised distribution of the token in place of a rejected one."""
        return acceptance.residual(at.pi, at.q)

    def bonus(self, law: Law) -> bool:
        """Whether the expert's token follows a block that was accepted whole."""
        return acceptance.allows_bonus(law.rule, law.sampling)

    def law(self, tables: Tables, law: Law, block: int) -> Tensor:
        """The joint law of as many tokens as the tables cover, [V ** depth].

        A round drafts ``block`` tokens; where one is rejected, and where all were accepted, the
        next round begins.  ``rounds[j]`` is the law of the tokens so far, jointly with that the
        current round has accepted j tokens.
        """
        rounds = {0: torch.ones(1, dtype=torch.float64)}
        drafted = [position.q for position in positions(tables, law)]
        for x, at in zip(drafted, self.at(tables, law), strict=True):
            then: dict[int, Tensor] = {}

            def add(accepted: int, mass: Tensor, then: dict[int, Tensor] = then) -> None:
                then[accepted] = then.get(accepted, torch.zeros(())) + mass.flatten()

            kept = x * torch.where(at.q > 0, at.pi / at.q, 1.0).clamp(max=1)
            rejected = 1 - kept.sum(-1, keepdim=True)
            replacement = self.replacement(at)
            replaced = rejected * replacement / replacement.sum(-1, keepdim=True)
            whole = block if self.bonus(law) else 0
            for accepted, mass in rounds.items():
                mass = mass.unsqueeze(-1)
                if accepted == block:
                    add(0, mass * at.p)
                    continue
                add(whole if accepted + 1 == block else accepted + 1, mass * kept)
                add(0, mass * replaced)
            rounds = then
        return torch.stack(list(rounds.values())).sum(0)


def distance(a: Tensor, b: Tensor) -> float:
    """Total variation."""
    return float((a - b).abs().sum() / 2)
