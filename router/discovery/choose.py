"""The discovery that the settings ask for."""

from collections.abc import Sequence
from typing import Literal

from router.discovery.base import Discovery
from router.discovery.dns import DnsDiscovery
from router.discovery.static import StaticDiscovery
from services.errors import PeerLost

Source = Literal["static", "dns", "kubernetes"]
"""Where pods are looked up."""


def discover(source: Source, names: Sequence[str], *, namespace: str, every_s: float) -> Discovery:
    """The pods of one role.

    Args:
        source: where they are looked up.
        names: addresses, names with ports, or one Service.
        namespace: of the Service.
        every_s: seconds between two looks at DNS.

    Raises:
        PeerLost: there is no Kubernetes to ask, or nothing to ask it with.
    """
    match source:
        case "static":
            return StaticDiscovery(names)
        case "dns":
            return DnsDiscovery(names, every_s)
        case "kubernetes":
            try:  # only where it is asked for
                from router.discovery.kubernetes import KubernetesDiscovery, api
            except ModuleNotFoundError as error:
                raise PeerLost(f"{error}: install the extra kubernetes") from error
            return KubernetesDiscovery(api(), names[0], namespace)
