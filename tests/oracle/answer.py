"""Answers, token by token: what every service together has to give, whatever the blocks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tests.oracle import noise
from tests.oracle.distribution import Scaling, drafted, scaled, softmax
from tests.oracle.rules import residual, target

Logits = Callable[[Sequence[int]], list[float]]
"""A model: from the tokens so far to the next one's logits."""


@dataclass(frozen=True)
class Law:
    """All that an answer's tokens follow beside the models and the prompt."""

    mode: str
    """drafter, expert, speculative or speculative_cascade."""
    rule: str
    """lossless or token_v3; without meaning where one model is alone."""
    alpha: float
    temperature: float
    top_k: int
    top_p: float
    candidates: int
    """K."""
    seed: int


@dataclass(frozen=True)
class Token:
    """One token of an answer."""

    id: int
    origin: str
    """drafter, expert, accepted, trusted or resampled.  Never bonus: what a block's end allows at
    temperature 0 is not a matter of the law, and there only the ids can be compared."""


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
    """The token after ``prefix``.  Asks only those models that the mode needs."""
    position = len(prefix)
    scaling = Scaling(law.temperature, law.top_k, law.top_p)
    if law.mode == "expert":
        p = scaled(expert(prefix), scaling)
        return Token(noise.gumbel_max(p, law.seed, position, noise.EXPERT), "expert")

    q = drafted(drafter(prefix), scaling, law.candidates)
    x = noise.gumbel_max(q, law.seed, position, noise.DRAFT)
    if law.mode == "drafter":
        return Token(x, "drafter")

    logits = expert(prefix)
    p = scaled(logits, scaling)
    pi = target(law.rule, law.alpha, softmax(logits), q, p)
    threshold = noise.uniform(law.seed, position, noise.ACCEPT) * q[x]
    if threshold < pi[x]:
        return Token(x, "accepted" if threshold < p[x] else "trusted")
    y = noise.gumbel_max(residual(pi, q), law.seed, position, noise.RESAMPLE)
    return Token(y, "resampled")


def answer(
    law: Law,
    prompt: Sequence[int],
    max_tokens: int,
    end_token_ids: Collection[int],
    drafter: Logits,
    expert: Logits,
) -> Answer:
    """Decodes position by position until ``max_tokens`` or an end token."""
    prefix, tokens = list(prompt), list[Token]()
    while len(tokens) < max_tokens:
        token = next_token(law, prefix, drafter, expert)
        if token.id in end_token_ids:
            return Answer(tokens, token.id)
        tokens.append(token)
        prefix.append(token.id)
    return Answer(tokens, None)
