"""How many tokens to draft at a time, and whether to draft ahead: from what was measured.

A round of n tokens emits E(n) = sum over j < n of A_j tokens, A_j being the chance that the first j
are accepted, and with a bonus token one term more; it takes T(n).  The length with the largest
E(n) / T(n) is chosen (docs/architecture.md, "The block length"), T(n) being what it is if all
sessions choose it.  What sessions of one law measure is shared, so that a new one does not pay to
find it out again.
"""

from router.pace.history import Histories, History
from router.pace.overlap import Overlap
from router.pace.pace import Pace
from router.pace.times import Draft, Pass

__all__ = ["Draft", "Histories", "History", "Overlap", "Pace", "Pass"]
