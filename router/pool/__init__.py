"""The pods of a role that can replace each other, and which of them gets a session.

A *pod* is one discovered address.  It is *refused* where it serves another model than the role's
first pod; *available* while it serves, is not to end, answers, and its breaker is closed.  A
*lease* is a session's hold on a pod.
"""

from router.pool.lease import Lease
from router.pool.pod import Pod
from router.pool.pool import Pool

__all__ = ["Lease", "Pod", "Pool"]
