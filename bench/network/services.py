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
def network(
    times: Times, agreement: float, second: float = 0.6, expert_token_ms: float = 0.0
) -> Iterator[Network]:
    """Starts a simulated drafter and expert, a relay before each, and a router.

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
