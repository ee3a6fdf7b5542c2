"""Simulated models with room to spare, and a router that lets few in."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.services import service

DRAFTER_MS, EXPERT_MS = 4.0, 20.0
"""Of a pass."""
AGREEMENT = 0.8
_START_S = 60.0


@contextmanager
def limited(max_sessions: int, max_waiting: int) -> Iterator[str]:
    """Starts a simulated drafter and expert, and a router with these limits; gives its address.

    Raises:
        ServiceFailed: one of them did not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pods = {
            role: stack.enter_context(
                service(
                    folder,
                    role,
                    f"services.{role}",
                    [
                        *("--simulate.agreement", str(AGREEMENT)),
                        *("--simulate.pass-ms", str(pass_ms)),
                        *("--slots", str(max_sessions), "--threads", "1"),
                    ],
                )
            )
            for role, pass_ms in (("drafter", DRAFTER_MS), ("expert", EXPERT_MS))
        }
        flags = [f"--{role}={pod.address(_START_S)}" for role, pod in pods.items()]
        flags += ["--max-sessions", str(max_sessions), "--max-waiting", str(max_waiting)]
        router = stack.enter_context(service(folder, "router", "router", flags))
        yield router.address(_START_S)
