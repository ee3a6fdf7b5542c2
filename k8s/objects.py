"""What is looked for in the objects of a rendering."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Object = dict[str, Any]

POD_OWNERS = {"Deployment", "Job"}

_UNITS = {"": Decimal(1), "m": Decimal("0.001")}
_UNITS |= {unit: Decimal(1000**power) for power, unit in enumerate(("k", "M", "G", "T"), 1)}
_UNITS |= {unit: Decimal(1024**power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)}


@dataclass(frozen=True)
class Pod:
    """The template of a pod in a rendering."""

    owner: str
    """Kind and name, such as ``Deployment/router``."""
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        """Those that run, and those that run before them."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        """Its containers' named ports."""
        return {
            port["name"]: port["containerPort"]
            for container in self.containers
            for port in container.get("ports", [])
        }


def title(item: Object) -> str:
    """``Deployment/router``."""
    return f"{item['kind']}/{item['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def pods(objects: list[Object]) -> list[Pod]:
    """Every template of a pod."""
    return [
        Pod(title(item), template["metadata"].get("labels", {}), template["spec"])
        for item in of_kind(objects, *POD_OWNERS)
        for template in [item["spec"]["template"]]
    ]


def matching(objects: list[Object], labels: dict[str, str]) -> list[Pod]:
    """The pods that have all of these labels."""
    return [pod for pod in pods(objects) if labels.items() <= pod.labels.items()]


def environment(objects: list[Object], pod: Pod, container: Object) -> dict[str, str]:
    """A container's variables: what its config maps and its own list give it.

    The value of a variable that the cluster fills in is empty.
    """
    maps = {
        item["metadata"]["name"]: item.get("data", {}) for item in of_kind(objects, "ConfigMap")
    }
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps.get(source.get("configMapRef", {}).get("name"), {})
    return found | {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def quantity(text: str) -> Decimal:
    """A quantity of Kubernetes as a number: ``500m`` is 0.5, ``1Ki`` is 1024.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", text)
    if not found or found[2] not in _UNITS:
        raise ValueError(f"no quantity: {text!r}")
    return Decimal(found[1]) * _UNITS[found[2]]


def settings_prefix(container: Object) -> str:
    """What the variables of a service's settings begin with; empty for no service."""
    prefixes = {"drafter": "CASCADE_POD_", "expert": "CASCADE_POD_", "router": "CASCADE_ROUTER_"}
    return prefixes.get(container["name"], "")


def services(objects: list[Object]) -> Iterator[tuple[Pod, Object, dict[str, str]]]:
    """Each container that runs a service: its pod, itself, its variables."""
    for pod in pods(objects):
        for container in pod.spec["containers"]:
            if settings_prefix(container):
                yield pod, container, environment(objects, pod, container)
