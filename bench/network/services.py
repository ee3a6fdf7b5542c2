"""Simulated models behind relays, and a router in front."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.echo import latency_for
from bench.network.predicted import Times
from bench.relay import Link, Relay
from bench.services import service

_START_S = 60.0


@dataclass(frozen=True)
class Network:
    """Running services, and the link that both models may be reached by."""

    router: str
    """host:port, of the one that reaches both models over the link."""
    link: Link
    near: str
    """host:port, of one that reaches them without it."""

    def over(self, round_trip_ms: float) -> tuple[str, Link | None]:
        """A router, and the link between it and the models, which has such a round trip.

        0: there is no relay between them.
        """
        if not round_trip_ms:
            return self.near, None
        self.link.latency_s = latency_for(round_trip_ms / 1000)
        return self.router, self.link


@contextmanager
def network(
    times: Times, agreement: float, second: float = 0.6, expert_token_ms: float = 0.0
) -> Iterator[Network]:
    """Starts a simulated drafter and expert, a router behind a relay to each, and one without.

    Args:
        times: of their passes.
        agreement: of the two.
        second: chance of the drafter's second choice where they differ.
        expert_token_ms: of each token in a pass of the expert, beside the time of the pass.

    Raises:
        ServiceFailed: one of them did not start.
    """
    link = Link()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pods = [
            stack.enter_context(
                service(
                    folder,
                    role,
                    f"services.{role}",
                    [*simulated(agreement, second, pass_ms), f"--simulate.token-ms={token_ms}"],
                )
            )
            for role, pass_ms, token_ms in (
                ("drafter", times.draft_ms, 0.0),
                ("expert", times.pass_ms, expert_token_ms),
            )
        ]
        near = [pod.address(_START_S) for pod in pods]
        far = [stack.enter_context(Relay(address, link)).address for address in near]
        routers = [
            stack.enter_context(service(folder, name, "router", _reaches(*addresses)))
            for name, addresses in (("router", far), ("near", near))
        ]
        router, near_router = [router.address(_START_S) for router in routers]
        yield Network(router, link, near_router)


def _reaches(drafter: str, expert: str) -> list[str]:
    """Flags of a router that reaches these two, host:port."""
    return [f"--drafter={drafter}", f"--expert={expert}"]


def simulated(agreement: float, second: float, step_ms: float) -> list[str]:
    """Flags of a simulated pod."""
    return [
        *("--simulate.agreement", str(agreement), "--simulate.second", str(second)),
        *("--simulate.pass-ms", str(step_ms)),
        *("--threads", "1"),
    ]
