"""How many rounds an answer takes, from the chance of acceptance at each of its positions."""

from collections.abc import Sequence


def expected_rounds(
    acceptance: Sequence[float], block_length: int, *, bonus: bool = False
) -> float:
    """The expected number of rounds that emit the positions in order.

    A round begins where the last one ended.  It goes on from position to position with the chance
    of acceptance there, ends behind the first rejection, and at the latest behind ``block_length``
    tokens.  The coins of positions are independent, so the chance that a round begins at a position
    follows from those before it, exactly; the i.i.d. formula (docs/rules.md) would need the same
    chance everywhere, and without ends.

    Args:
        acceptance: at each position of an answer.
        block_length: tokens drafted in a round, at least 1.
        bonus: whether one token more follows a block that was accepted whole.
    """
    n = len(acceptance)
    begins = [1.0] + [0.0] * n
    for start in range(n):
        chance = begins[start]
        end = min(start + block_length, n)
        for position in range(start, end):
            if chance == 0.0:
                break
            begins[position + 1] += chance * (1 - acceptance[position])
            chance *= acceptance[position]
        begins[min(end + bonus, n)] += chance
    return sum(begins[:n])
