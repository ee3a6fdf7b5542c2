"""Which pods there are: a list, a name in DNS, or what Kubernetes says of a Service.

A discovery knows addresses and what is said of them; whether a pod answers is the pool's affair.
"""

from router.discovery.base import Discovery, Endpoint, View
from router.discovery.choose import Source, discover

__all__ = ["Discovery", "Endpoint", "Source", "View", "discover"]
