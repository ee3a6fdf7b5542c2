"""Decisions and targets of the rules, and the residual, from the formulas of arXiv 2405.19261."""

import math
from dataclasses import dataclass

Row = list[float]
"""A value for each entry of the vocabulary."""

POSITION_RULES = ("chow", "chow_log", "diff", "opt", "bild")
TOKEN_RULES = ("token_v1", "token_v2", "token_v3")


@dataclass(frozen=True)
class Position:
    """Both models' distributions at one position."""

    q1: Row
    p1: Row
    """Unscaled."""
    q: Row
    p: Row
    """Scaled; q as it was sampled from."""


def tv(a: Row, b: Row) -> float:
    """Total variation."""
    return math.fsum(max(0.0, x - y) for x, y in zip(a, b, strict=True))


def entropy(row: Row) -> float:
    """Nats."""
    return -math.fsum(x * math.log(x) for x in row if x > 0)


def known_q1(at: Position, temperature: float) -> Row:
    """``q1`` as the expert knows it from what crossed: the candidates' and the maximum.

    With ``q`` the rounded scaled distribution, ``q1(v) = max q1 (q(v) / max q) ** T``.
    """
    top = max(at.q)
    return [max(at.q1) * (x / top) ** temperature if x > 0 else 0.0 for x in at.q]


def decisions(rule: str, alpha: float, at: Position) -> list[bool]:
    """``r`` for each token of a deferral rule; the same for all of them in a position rule."""
    q1, p1 = at.q1, at.p1
    if rule == "token_v1":  # Eq. 13
        return [x < max(p1) - alpha for x in q1]
    if rule == "token_v2":  # Eq. 14
        return [x < max(p1) - alpha for x in p1]
    if rule == "token_v3":  # Eq. 15
        return [x < (1 - alpha) * max(p1) for x in p1]
    return [_position_decision(rule, alpha, at)] * len(q1)


def _position_decision(rule: str, alpha: float, at: Position) -> bool:
    q1, p1 = at.q1, at.p1
    if rule == "chow":  # Eq. 2
        return max(q1) < 1 - alpha
    if rule == "chow_log":
        return entropy(q1) > alpha
    if rule == "diff":  # Eq. 5
        return max(q1) < max(p1) - alpha
    if rule == "opt":  # Eq. 10
        return max(q1) < max(p1) - alpha * tv(at.p, at.q)
    if rule == "bild":
        chance = p1[q1.index(max(q1))]
        return chance == 0 or -math.log(chance) > alpha
    raise ValueError(f"rule: unknown, got {rule}")


def target(rule: str, alpha: float, at: Position) -> Row:
    """``pi``."""
    q, p = at.q, at.p
    if rule == "lossless":
        return p
    if rule == "ensemble":
        return [(1 - alpha) * p_v + alpha * q_v for q_v, p_v in zip(q, p, strict=True)]
    if rule == "lossy":
        return _lossy(alpha, q, p)
    r = decisions(rule, alpha, at)
    if rule in POSITION_RULES:
        return p if r[0] else q
    # Eq. 11
    eta = math.fsum(q_v for r_v, q_v in zip(r, q, strict=True) if r_v)
    return [q_v * (1 - r_v) + p_v * eta for r_v, q_v, p_v in zip(r, q, p, strict=True)]


def _lossy(alpha: float, q: Row, p: Row) -> Row:
    """By bisection for ``1 / beta``."""
    rejected = math.fsum(max(0.0, a - b / (1 - alpha)) for a, b in zip(q, p, strict=True))

    def replaced(share: float) -> float:
        return math.fsum(max(0.0, b * share - a) for a, b in zip(q, p, strict=True))

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if replaced(middle) < rejected else (low, middle)
    share = low if rejected > 0 else 0.0
    return [max(min(a, b / (1 - alpha)), b * share) for a, b in zip(q, p, strict=True)]


def residual(pi: Row, q: Row) -> Row:
    """What a rejected token's replacement is sampled from, unnormalised."""
    rest = [max(0.0, pi_v - q_v) for pi_v, q_v in zip(pi, q, strict=True)]
    return rest if any(rest) else pi
