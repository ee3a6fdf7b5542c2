"""Targets of the rules, and the residual."""


def target(rule: str, alpha: float, p1: list[float], q: list[float], p: list[float]) -> list[float]:
    """``pi`` of a rule: ``lossless`` or ``token_v3``.

    Args:
        rule: its name.
        alpha: its leniency.
        p1: the expert's unscaled distribution.
        q, p: the drafter's and the expert's scaled distributions.
    """
    if rule == "lossless":
        return p
    if rule != "token_v3":
        raise ValueError(f"rule: must be lossless or token_v3, got {rule}")
    # arXiv 2405.19261, Eq. 15 and Eq. 11.
    least = (1 - alpha) * max(p1)
    defers = [1 if confidence < least else 0 for confidence in p1]
    eta = sum(r * q_v for r, q_v in zip(defers, q, strict=True))
    return [q_v * (1 - r) + p_v * eta for r, q_v, p_v in zip(defers, q, p, strict=True)]


def residual(pi: list[float], q: list[float]) -> list[float]:
    """What a rejected token's replacement is sampled from, unnormalised."""
    rest = [max(0.0, pi_v - q_v) for pi_v, q_v in zip(pi, q, strict=True)]
    return rest if any(rest) else pi
