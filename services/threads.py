"""How long a pod's threads wait for each other before they sleep."""

import os

SPINS = "8000"
"""About 0.1 ms: longer than what lies between most products of a pass."""


def sleep_soon() -> None:
    """Has them sleep after ``SPINS``, unless the environment says otherwise.

    Two pods on one machine both have a thread on each core.  A thread that waits for the others of
    its pool spins, and where their core computes for the other pod it spins in vain: both pods come
    to a fraction of their speed.  One that sleeps at once has to be woken for each product.  OpenMP
    reads this when torch is imported: it comes before that.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
