"""A mixture of modes as an option."""

import math
from collections.abc import Sequence

from bench.cost.demand import Mode, mixture
from bench.errors import BadOption


def parse_mix(text: str, modes: Sequence[Mode]) -> Mode:
    """A mixture, told as ``cascade=0.8,expert=0.2``: shares of all tokens.

    Raises:
        BadOption: an unknown mode, one told twice, no number, or shares that do not sum to 1.
    """
    by_name = {mode.name: mode for mode in modes}
    shares: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, share = (part.strip() for part in entry.partition("="))
        if name not in by_name or not equals:
            raise BadOption(
                f"--mix: {entry.strip()!r} is no mode=share; modes are {', '.join(by_name)}"
            )
        if name in shares:
            raise BadOption(f"--mix: {name} is there twice")
        try:
            shares[name] = float(share)
        except ValueError:
            raise BadOption(f"--mix: {share!r} is no number") from None
    if not all(share > 0 for share in shares.values()) or not math.isclose(
        sum(shares.values()), 1.0, abs_tol=1e-6
    ):
        raise BadOption("--mix: shares must be above 0 and sum to 1")
    return mixture([(by_name[name], share) for name, share in shares.items()])
