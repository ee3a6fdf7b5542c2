"""Who may speak to the router, and how much: API keys, their limits, the router's own."""

from router.access.gate import Gate
from router.access.guard import Caller, Guard
from router.access.keys import load_keys

__all__ = ["Caller", "Gate", "Guard", "load_keys"]
