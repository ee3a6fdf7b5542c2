"""The EndpointSlices of one Service, and the pods that they add up to."""

from typing import Any

from router.discovery.base import Endpoint, View

PORT_NAME = "grpc"
"""Of a Service's port; where none is named so, the first one counts."""


class Slices:
    """What is known of a Service.  Slices are dictionaries, as the API sends them."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Endpoint]] = {}

    def replace(self, slices: list[dict[str, Any]]) -> None:
        """These are all there are."""
        self._by_name = {one["metadata"]["name"]: _endpoints(one) for one in slices}

    def apply(self, kind: str, one: dict[str, Any]) -> None:
        """An event of a watch: ADDED, MODIFIED or DELETED.  A repeated one changes nothing."""
        name = one["metadata"]["name"]
        if kind == "DELETED":
            self._by_name.pop(name, None)
        elif kind in ("ADDED", "MODIFIED"):
            self._by_name[name] = _endpoints(one)

    def view(self) -> View:
        """All pods.  While a pod moves from one slice to another it is in both: ready wins."""
        view: dict[str, Endpoint] = {}
        for endpoints in self._by_name.values():
            for endpoint in endpoints:
                known = view.get(endpoint.address)
                if known is None or (endpoint.ready and not known.ready):
                    view[endpoint.address] = endpoint
        return view


def _endpoints(one: dict[str, Any]) -> list[Endpoint]:
    ports = [port for port in one.get("ports") or () if port.get("port")]
    named = [port for port in ports if port.get("name") == PORT_NAME]
    if not ports:
        return []
    port = (named or ports)[0]["port"]
    endpoints = []
    for entry in one.get("endpoints") or ():
        conditions = entry.get("conditions") or {}
        # What is not said counts as ready, as serving where ready, and as not terminating.
        said = conditions.get("ready")
        ready = True if said is None else bool(said)
        serving = conditions.get("serving")
        terminating = bool(conditions.get("terminating"))
        for host in entry.get("addresses") or ():
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            endpoints.append(
                Endpoint(
                    address,
                    ready=ready and serving is not False and not terminating,
                    terminating=terminating,
                    zone=entry.get("zone") or "",
                )
            )
    return endpoints
