"""Simulated models behind relays, and a router in front."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.network.predicted import Times
from bench.relay import Link, Relay
from bench.services import service

_START_S = 60.0


@dataclass(frozen=True)
class Network:
    """Running services, and the link that both models are reached by."""

    router: str
    """host:port."""
    link: Link


@contextmanager
def network(times: Times, agreement: float, second: float = 0.6) -> Iterator[Network]:
    """Starts a simulated drafter and expert, a relay before each, and a router.

    Raises:
        ServiceFailed: one of them did not start.
    """
    link = Link()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pods = [
            stack.enter_context(
                service(folder, role, f"services.{role}", simulated(agreement, second, step_ms))
            )
            for role, step_ms in (("drafter", times.draft_ms), ("expert", times.pass_ms))
        ]
        relays = [
            stack.enter_context(Relay(address, link))
            for address in [pod.address(_START_S) for pod in pods]
        ]
        peers = [
            f"--{role}={relay.address}"
            for role, relay in zip(("drafter", "expert"), relays, strict=True)
        ]
        router = stack.enter_context(service(folder, "router", "router", peers))
        yield Network(router.address(_START_S), link)


def simulated(agreement: float, second: float, step_ms: float) -> list[str]:
    """Flags of a simulated pod."""
    return [
        *("--simulate.agreement", str(agreement), "--simulate.second", str(second)),
        *("--simulate.pass-ms", str(step_ms)),
        *("--threads", "1"),
    ]
