"""Answers, token by token: what every service together has to give, whatever the blocks."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from tests.oracle import noise
from tests.oracle.distribution import Scaling, drafted, scaled, softmax
from tests.oracle.rules import (
    POSITION_RULES,
    TOKEN_RULES,
    Position,
    decisions,
    known_q1,
    residual,
    target,
)

Logits = Callable[[Sequence[int]], list[float]]
"""A model: from the tokens so far to the next one's logits."""


@dataclass(frozen=True)
class Law:
    """All that an answer's tokens follow beside the models and the prompt."""

    mode: str
    """drafter, expert, speculative, speculative_cascade, token_cascade or sequence_cascade."""
    rule: str
    """Without meaning where one model is alone, and in the sequence cascade."""
    alpha: float
    temperature: float
    top_k: int
    top_p: float
    candidates: int
    """K."""
    seed: int
    gate: bool = False
    """Gate form; else residual."""
    coupled: bool = False
    quantile: float | None = None
    """Of the sequence cascade's token log-probabilities; None: their mean."""


@dataclass(frozen=True)
class Token:
    """One token of an answer."""

    id: int
    origin: str
    """drafter, expert, deferred, accepted, trusted or resampled.  Never bonus: what a block's end
    allows is not a matter of the law, and where there can be one only the ids can be compared."""


@dataclass(frozen=True)
class Answer:
    """An answer; the end token that ended it is not among its tokens."""

    tokens: list[Token]
    end_token_id: int | None

    @property
    def ids(self) -> list[int]:
        """The tokens' ids."""
        return [token.id for token in self.tokens]


def next_token(law: Law, prefix: Sequence[int], drafter: Logits, expert: Logits) -> Token:
    """The token after ``prefix``, in every mode but the sequence cascade.

    Asks only those models that the mode needs.
    """
    position = len(prefix)
    scaling = Scaling(law.temperature, law.top_k, law.top_p)

    def own(logits: list[float]) -> int:
        """The expert's own token."""
        return noise.gumbel_max(scaled(logits, scaling), law.seed, position, noise.EXPERT)

    if law.mode == "expert":
        return Token(own(expert(prefix)), "expert")

    drafters = drafter(prefix)
    q = drafted(drafters, scaling, law.candidates)
    purpose = noise.EXPERT if law.coupled else noise.DRAFT
    x = noise.gumbel_max(q, law.seed, position, purpose)
    if law.mode == "drafter":
        return Token(x, "drafter")
    q1 = softmax(drafters)
    if law.mode == "token_cascade":
        # Its rules look at nothing of the expert's.
        if not decisions(law.rule, law.alpha, Position(q1, q1, q, q))[0]:
            return Token(x, "drafter")
        return Token(own(expert(prefix)), "deferred")

    experts = expert(prefix)
    at = Position(q1, softmax(experts), q, scaled(experts, scaling))
    if law.rule == "token_v1" and not law.gate:
        at = Position(known_q1(at, law.temperature), at.p1, at.q, at.p)
    defers = law.rule in (*POSITION_RULES, *TOKEN_RULES)
    if law.gate or law.coupled:
        y = own(experts)
        same = x == y and (law.coupled or law.temperature == 0)
        if same:
            return Token(x, "accepted")
        kept = defers and not decisions(law.rule, law.alpha, at)[x]
        return Token(x, "trusted") if kept else Token(y, "resampled")
    pi = target(law.rule, law.alpha, at)
    threshold = noise.uniform(law.seed, position, noise.ACCEPT) * q[x]
    if threshold < pi[x]:
        return Token(x, "accepted" if threshold < at.p[x] else "trusted")
    y = noise.gumbel_max(residual(pi, q), law.seed, position, noise.RESAMPLE)
    return Token(y, "resampled")


def confidence(law: Law, log_probs: Sequence[float]) -> float:
    """The drafter's in its whole answer."""
    if law.quantile is None:
        return math.fsum(log_probs) / len(log_probs)
    ordered = sorted(log_probs)
    place = law.quantile * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (low + 1 - place) + ordered[high] * (place - low)


def answer(
    law: Law,
    prompt: Sequence[int],
    max_tokens: int,
    end_token_ids: Collection[int],
    drafter: Logits,
    expert: Logits,
) -> Answer:
    """Decodes position by position until ``max_tokens`` or an end token."""
    if law.mode == "sequence_cascade":
        first = answer(
            replace(law, mode="drafter"), prompt, max_tokens, end_token_ids, drafter, expert
        )
        whole = first.ids + ([] if first.end_token_id is None else [first.end_token_id])
        log_probs = [
            math.log(softmax(drafter([*prompt, *whole[:t]]))[token])
            for t, token in enumerate(whole)
        ]
        # Defer iff the statistic is below log(1 - alpha).
        if math.exp(confidence(law, log_probs)) >= 1 - law.alpha:
            return first
        law = replace(law, mode="expert")
    prefix, tokens = list(prompt), list[Token]()
    while len(tokens) < max_tokens:
        token = next_token(law, prefix, drafter, expert)
        if token.id in end_token_ids:
            return Answer(tokens, token.id)
        tokens.append(token)
        prefix.append(token.id)
    return Answer(tokens, None)
