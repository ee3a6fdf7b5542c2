"""The law of the procedure, enumerated: coins and noise are integrated over, nothing is drawn.

Distributions, decisions, targets and residual are those that the services call.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.rules.acceptance import log_residual
from services.rules.distribution import Scaled, candidates
from services.rules.evaluation import Evaluation, evaluate
from services.rules.law import Form, Law
from services.rules.target import Target
from services.rules.unscaled import OfProbabilities
from tests.laws.crossing import cross, stack
from tests.laws.tables import Tables


@dataclass(frozen=True)
class Position:
    """The whole distributions at one depth of the tables: [..., V] each, float64."""

    q: Tensor
    p: Tensor
    pi: Tensor


def positions(tables: Tables, law: Law) -> list[Position]:
    """The distributions at each depth, the rule evaluated on whole rows."""
    found = []
    for drafter, expert in zip(tables.drafter, tables.expert, strict=True):
        drafted, logits = drafter.double(), expert.double()
        q = candidates(drafted, law.sampling, law.candidates).dense(tables.size, torch.float64)
        p = Scaled.of(logits, law.sampling).dense()
        q1, p1 = drafted.softmax(-1), logits.softmax(-1)
        if law.rule.name == "token_v1" and law.form is Form.RESIDUAL:
            # What the expert knows of q1 (docs/rules.md, "What crosses the network").
            share = q / q.amax(-1, keepdim=True)
            q1 = q1.amax(-1, keepdim=True) * torch.where(q > 0, share**law.sampling.temperature, 0)
        pi = law.rule.target(OfProbabilities(q1), OfProbabilities(p1), q, p, law.alpha).at
        found.append(Position(q, p, pi))
    return found


def joint(conditionals: list[Tensor]) -> Tensor:
    """The product law of all tokens, [..., V ** depth], from [..., V ** d, V] for each depth."""
    law = torch.ones(*conditionals[0].shape[:-2], 1, dtype=torch.float64)
    for table in conditionals:
        law = (law.unsqueeze(-1) * table).flatten(-2)
    return law


def target_law(tables: Tables, law: Law) -> Tensor:
    """The law that the tokens are to have: the product of ``pi``."""
    return joint([position.pi for position in positions(tables, law)])


@dataclass(frozen=True)
class Course:
    """What becomes of the drafted token at one depth, as probabilities: [..., V] each."""

    kept: Tensor
    """That token v is drafted and accepted."""
    replaced: Tensor
    """That a drafted token is rejected and v comes in its place."""
    own: Tensor
    """``p``: the law of the expert's own token."""


class Procedure:
    """What happens to drafted tokens.  Tests of mistakes change parts of it."""

    def evaluate(self, law: Law, drafter: Tensor, expert: Tensor) -> Evaluation:
        """The law at [S] rows of V, for each of V drafted tokens: S * V sessions of one token."""
        size = drafter.shape[-1]
        x = torch.arange(size).repeat(len(drafter)).unsqueeze(1)
        drafted, scored = (t.repeat_interleave(size, 0).unsqueeze(1) for t in (drafter, expert))
        q = candidates(drafted[:, 0], law.sampling, law.candidates)
        drafts = cross(law, drafted, x, stack([q]))
        return evaluate(law, scored, Scaled.of(scored, law.sampling), drafts)

    def residual(self, at: Evaluation, p: Scaled) -> Tensor:
        """The logarithm of the unnormalised law in place of a rejected token: [S, V]."""
        return log_residual(
            Target(at.target.at[:, 0], at.target.rest[:, 0]), at.ids[:, 0], at.q[:, 0], p
        )

    def allows_bonus(self, law: Law) -> bool:
        """Whether the expert's token follows a block that was accepted whole."""
        return law.allows_bonus

    def course(self, law: Law, drafter: Tensor, expert: Tensor) -> Course:
        """At rows of logits [..., V]."""
        shape, size = expert.shape, expert.shape[-1]
        drafter, expert = drafter.reshape(-1, size), expert.reshape(-1, size)
        at = self.evaluate(law, drafter, expert)
        q = candidates(drafter, law.sampling, law.candidates).dense(size, torch.float64)
        rows = Scaled.of(expert, law.sampling)
        p = rows.dense()
        if law.coupled:
            kept, replaced = self._coupled(at, q, p)
        else:
            greedy = law.sampling.temperature == 0
            if law.form is Form.GATE:
                assert at.defer is not None
                chance = (~at.of_x(at.defer)).double().view(-1, size)
                if greedy:
                    chance = torch.where(p == 1, 1.0, chance)
            else:
                chance = at.of_x(at.target.at) / at.of_x(at.q)
                chance = torch.where(q > 0, chance.view(-1, size), 1.0).clamp(max=1)
            kept = q * chance
            rejected = 1 - kept.sum(-1, keepdim=True)
            if law.form is Form.GATE or greedy:
                replaced = rejected * p
            else:
                # Whatever token was rejected, the replacement is the same: that of the first.
                first = Evaluation(**{**vars(at), **_firsts(at, size)})
                replaced = rejected * self.residual(first, rows).softmax(-1)
        return Course(kept.view(shape), replaced.view(shape), p.view(shape))

    def _coupled(self, at: Evaluation, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Both models' tokens are argmax (log prob + g) with one g (arXiv 2408.07978)."""
        ratios = torch.maximum(
            p.unsqueeze(-2) / p.unsqueeze(-1), q.unsqueeze(-2) / q.unsqueeze(-1)
        ).nan_to_num(nan=torch.inf, posinf=torch.inf)
        both = 1 / ratios.sum(-1)
        both = torch.where((p > 0) & (q > 0), both, 0.0)
        keeps = torch.zeros(len(q), 1, dtype=torch.bool)
        if at.defer is not None:
            # At temperature 0 the decision is that at the one token that can be drafted.
            drafted = q.argmax(-1, keepdim=True)
            keeps = ~at.of_x(at.defer).view(q.shape).gather(-1, drafted)
        return torch.where(keeps, q, both), torch.where(keeps, 0.0, p - both)

    def law(self, tables: Tables, law: Law, block: int) -> Tensor:
        """The joint law of as many tokens as the tables cover, [..., V ** depth].

        A round drafts ``block`` tokens; where one is rejected, and where all were accepted, the
        next round begins.  ``rounds[j]`` is the law of the tokens so far, jointly with that the
        current round has accepted j tokens.
        """
        batch = tables.expert[0].shape[:-2]
        rounds = {0: torch.ones(*batch, 1, dtype=torch.float64)}
        for drafter, expert in zip(tables.drafter, tables.expert, strict=True):
            course = self.course(law, drafter.double(), expert.double())
            then: dict[int, Tensor] = {}

            def add(accepted: int, mass: Tensor, then: dict[int, Tensor] = then) -> None:
                then[accepted] = then.get(accepted, torch.zeros(())) + mass.flatten(-2)

            whole = block if self.allows_bonus(law) else 0
            for accepted, mass in rounds.items():
                mass = mass.unsqueeze(-1)
                if accepted == block:
                    add(0, mass * course.own)
                    continue
                add(whole if accepted + 1 == block else accepted + 1, mass * course.kept)
                add(0, mass * course.replaced)
            rounds = then
        return torch.stack(list(rounds.values())).sum(0)


def _firsts(at: Evaluation, size: int) -> dict[str, object]:
    """The parts of an evaluation at every row's first drafted token."""
    return {
        "ids": at.ids[::size],
        "q": at.q[::size],
        "p": at.p[::size],
        "target": Target(at.target.at[::size], at.target.rest[::size]),
    }


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Total variation, [...]."""
    return (a - b).abs().sum(-1) / 2
