"""G-tests of counts against a known law.

A test alarms where its p-value is below ``ALARM``, 1e-9.  Fewer than 800 of them run in all, so
that together they alarm falsely with a chance below 1e-6.  Cells expected below ``LEAST`` are
pooled, and the statistic is divided by Williams' correction: then the chi-squared tail is close to
the true one also so far out.  Seeds are fixed: what passes once always passes.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

ALARM = 1e-9
LEAST = 25.0

Array = npt.NDArray[np.float64]


def pooled(counts: Array, expected: Array) -> tuple[Array, Array]:
    """Both with the cells expected below ``LEAST`` as one, and that one large enough, too."""
    order = np.argsort(expected, kind="stable")
    counts, expected = counts[order], expected[order]
    first = int(np.searchsorted(expected, LEAST))
    while 0 < first < len(expected) and expected[:first].sum() < LEAST:
        first += 1
    if first == 0:
        return counts, expected
    return (
        np.concatenate([[counts[:first].sum()], counts[first:]]),
        np.concatenate([[expected[:first].sum()], expected[first:]]),
    )


def p_value(counts: npt.ArrayLike, law: npt.ArrayLike) -> float:
    """The chance of counts at least as far from the law, if they follow it.

    Args:
        counts: how often each cell was drawn.
        law: the probability of each cell, summing to 1.

    Raises:
        ValueError: the law does not sum to 1.
    """
    observed, probabilities = np.asarray(counts, np.float64), np.asarray(law, np.float64)
    if abs(probabilities.sum() - 1) > 1e-6:
        raise ValueError(f"law: must sum to 1, got {probabilities.sum()}")
    if observed[probabilities == 0].any():
        return 0.0
    n = observed.sum()
    observed, expected = pooled(observed, probabilities * n)
    degrees = len(expected) - 1
    if degrees == 0:
        return 1.0
    drawn = observed > 0
    g = 2 * float((observed[drawn] * np.log(observed[drawn] / expected[drawn])).sum())
    williams = 1 + (float((n / expected).sum()) - 1) / (6 * n * degrees)
    return float(chi2.sf(g / williams, degrees))


def total_variation(counts: npt.ArrayLike, law: npt.ArrayLike) -> float:
    """Between the counts' shares and the law."""
    observed = np.asarray(counts, np.float64)
    return float(np.abs(observed / observed.sum() - np.asarray(law)).sum() / 2)
