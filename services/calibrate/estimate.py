"""A mean over prompts and what it may be at most."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over prompts, each of which counts the same."""

    mean: float
    bound: float | None
    """One-sided upper bound of the mean over such prompts, at 95 %.  None: of one prompt."""


def estimate(by_prompt: Sequence[float]) -> Estimate:
    """From one value of each prompt, at least one, between 0 and 1.

    The bound is Student's: ``mean + t(0.95, n - 1) s / sqrt(n)``.  It takes prompts for independent
    draws; tokens of one answer are not.
    """
    mean = statistics.fmean(by_prompt)
    n = len(by_prompt)
    if n < 2:
        return Estimate(mean, None)
    quantile = float(stdtrit(n - 1, CONFIDENCE))
    bound = mean + quantile * statistics.stdev(by_prompt) / math.sqrt(n)
    return Estimate(mean, min(bound, 1.0))
