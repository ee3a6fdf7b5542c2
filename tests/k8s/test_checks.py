"""Each check finds what it is for: one rendering, broken in one place."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.checks import CHECKS, problems
from k8s.objects import Object, quantity
from k8s.render import render_with

COMPONENTS = (
    "weights-from-hub",
    "autoscaling",
    "gpu",
    "monitoring",
    "network-policies",
)


@pytest.fixture(scope="module")
def whole() -> list[Object]:
    """A rendering with most that there is."""
    return render_with(*COMPONENTS)


class Broken:
    """A rendering to break."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def __getitem__(self, title: str) -> Any:
        """``Deployment/router``; a config map goes without the hash of its name."""
        kind, name = title.split("/")
        for item in self.objects:
            found = item["metadata"]["name"]
            if item["kind"] == kind and (
                found == name or (kind == "ConfigMap" and found.startswith(name + "-"))
            ):
                return item
        raise KeyError(title)

    def pod(self, title: str) -> Any:
        """The spec of its pods."""
        return self[title]["spec"]["template"]["spec"]

    def container(self, title: str) -> Any:
        """Its pods' container."""
        return self.pod(title)["containers"][0]

    def remove(self, title: str) -> None:
        """Without this object."""
        self.objects.remove(self[title])


def _set(path: str, value: Any) -> Callable[[Any], None]:
    """Sets a dotted path in what it is given; an Ellipsis takes it out."""

    def change(item: Any) -> None:
        *steps, last = path.split(".")
        for step in steps:
            item = item[int(step) if step.isdigit() else step]
        if value is ...:
            del item[last]
        else:
            item[int(last) if last.isdigit() else last] = value

    return change


def on(title: str, path: str, value: Any) -> Callable[[Broken], None]:
    """Breaks an object."""
    return lambda broken: _set(path, value)(broken[title])


def in_pod(title: str, path: str, value: Any) -> Callable[[Broken], None]:
    """Breaks the spec of an object's pods."""
    return lambda broken: _set(path, value)(broken.pod(title))


def in_container(title: str, path: str, value: Any) -> Callable[[Broken], None]:
    """Breaks the container of an object's pods."""
    return lambda broken: _set(path, value)(broken.container(title))


def without(title: str) -> Callable[[Broken], None]:
    """Without an object."""
    return lambda broken: broken.remove(title)


ROUTER = "Deployment/router"
DRAFTER = "Deployment/drafter"
NAME = "app.kubernetes.io/name"

CASES: list[tuple[str, Callable[[Broken], None], str]] = [
    # A field that no schema knows, a value of another type, a kind without a schema.
    ("check_schemas", in_container(ROUTER, "imagePullPolice", "Always"), "'imagePullPolice' was"),
    ("check_schemas", in_pod(ROUTER, "terminationGracePeriodSeconds", "75"), "not of type"),
    ("check_schemas", on("Service/router", "apiVersion", "v2"), "Couldn't find schema"),
    ("check_schemas", on("ServiceMonitor/cascade", "spec.endpoint", []), "'endpoint' was"),
    ("check_schemas", on("ServiceMonitor/cascade", "kind", "PodMonitor"), "no schema for kind Pod"),
    ("check_schemas", on("PrometheusRule/cascade", "spec.groups.0.rules.0.for", "soon"), "'soon'"),
    # Selectors.
    ("check_selectors", on("Service/drafter", "spec.selector", {NAME: "draft"}), "no pod has"),
    (
        "check_selectors",
        on(DRAFTER, "spec.selector.matchLabels", {NAME: "draft"}),
        "its pods have",
    ),
    (
        "check_selectors",
        on(DRAFTER, "spec.selector.matchLabels", {"app.kubernetes.io/part-of": "cascade"}),
        "selects pods of",
    ),
    (
        "check_selectors",
        on("NetworkPolicy/drafter", "spec.ingress.0.from.0.podSelector.matchLabels", {NAME: "r"}),
        "no pod has",
    ),
    (
        "check_selectors",
        on("PodDisruptionBudget/expert", "spec.selector.matchLabels", {NAME: "experts"}),
        "no pod has",
    ),
    (
        "check_selectors",
        in_pod(DRAFTER, "topologySpreadConstraints.0.labelSelector.matchLabels", {NAME: "x"}),
        "no pod has",
    ),
    ("check_selectors", on("Service/expert", "metadata.labels", {}), "Service/expert has not"),
    (
        "check_selectors",
        on("HorizontalPodAutoscaler/router", "spec.scaleTargetRef.name", "routers"),
        "Deployment/routers, which is not there",
    ),
    # Ports.
    ("check_ports", on("Service/router", "spec.ports.0.targetPort", "http"), "no port http"),
    ("check_ports", on("Service/router", "spec.ports.0.port", 80), "port 80 is another one"),
    (
        "check_ports",
        on("NetworkPolicy/expert", "spec.ingress.0.ports.0.port", "rpc"),
        "no port rpc in Deployment/expert",
    ),
    (
        "check_ports",
        on("NetworkPolicy/router", "spec.egress.0.ports.0.port", "rpc"),
        "no port rpc in Deployment/drafter",
    ),
    ("check_ports", on("ServiceMonitor/cascade", "spec.endpoints.0.port", "m"), "no port m in"),
    (
        "check_ports",
        on("ConfigMap/drafter", "data.CASCADE_POD_METRICS_PORT", "9091"),
        "metrics is 9090, CASCADE_POD_METRICS_PORT is 9091",
    ),
    (
        "check_ports",
        in_container(ROUTER, "readinessProbe", {"grpc": {"port": 9090}}),
        "readinessProbe asks port 9090, health answers on 50051",
    ),
    ("check_ports", in_container(ROUTER, "startupProbe", ...), "startupProbe asks port None"),
    # Names.
    ("check_names", without("ConfigMap/router"), "names ConfigMap/router-"),
    ("check_names", without("ServiceAccount/expert"), "names ServiceAccount/expert"),
    (
        "check_names",
        on("PersistentVolumeClaim/models", "metadata.name", "weights"),
        "names PersistentVolumeClaim/models",
    ),
    ("check_names", in_pod(ROUTER, "volumes.0.name", "scratch"), "is not both there and mounted"),
    ("check_names", on("Service/router", "metadata.namespace", "default"), "should be in one"),
    # Settings.
    (
        "check_settings",
        on("ConfigMap/router", "data.CASCADE_ROUTER_DRAFTAHEAD", "1"),
        "CASCADE_ROUTER_DRAFTAHEAD is no setting of router",
    ),
    (
        "check_settings",
        on("ConfigMap/expert", "data.CASCADE_EXPERT_SLOTS", "8"),
        "CASCADE_EXPERT_SLOTS is no setting of expert",
    ),
    # The end of a pod: one second too little, and what is not given.
    ("check_grace", in_pod(ROUTER, "terminationGracePeriodSeconds", 74), "do not fit into 74 s"),
    (
        "check_grace",
        on("ConfigMap/drafter", "data.CASCADE_POD_GRACE_S", "60.5"),
        "drain 60.5 s and stop 10 s do not fit",
    ),
    ("check_grace", in_container(ROUTER, "lifecycle", {}), "preStop sleeps None"),
    ("check_grace", on("ConfigMap/router", "data.CASCADE_ROUTER_GRACE_S", ...), "is None"),
    # Resources.
    (
        "check_resources",
        in_container(DRAFTER, "resources.limits.memory", "1Gi"),
        "limit of memory 1Gi is below its request 4Gi",
    ),
    ("check_resources", in_container("Job/weights", "resources", {}), "cpu has request None"),
    (
        "check_resources",
        in_container(DRAFTER, "resources.limits", {"cpu": "2", "memory": "6Gi"}),
        "nvidia.com/gpu has request 1 and limit None",
    ),
    (
        "check_resources",
        in_container(DRAFTER, "resources.limits.x/gpu", "2"),
        "x/gpu has request None",
    ),
    # Hardening.
    ("check_hardening", in_pod(ROUTER, "securityContext.runAsNonRoot", False), "run as root"),
    ("check_hardening", in_pod(ROUTER, "securityContext.runAsUser", 0), "run as root"),
    ("check_hardening", in_pod(ROUTER, "securityContext.seccompProfile", ...), "no seccomp"),
    ("check_hardening", in_pod("Job/weights", "enableServiceLinks", True), "all Services"),
    ("check_hardening", in_pod(ROUTER, "hostNetwork", True), "has hostNetwork"),
    (
        "check_hardening",
        in_pod(ROUTER, "volumes.0", {"name": "tmp", "hostPath": {"path": "/"}}),
        "mounts the host's /",
    ),
    *[
        ("check_hardening", in_container(title, f"securityContext.{field}", value), text)
        for title in (ROUTER, "Job/weights")
        for field, value, text in [
            ("allowPrivilegeEscalation", ..., "may escalate"),
            ("readOnlyRootFilesystem", False, "may write its root"),
            ("capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}, "or adds some"),
            ("privileged", True, "is privileged"),
            ("runAsUser", 0, "may run as root"),
            ("seccompProfile", {"type": "Unconfined"}, "another seccomp profile"),
        ]
    ],
    (
        "check_hardening",
        in_pod(DRAFTER, "initContainers.0.securityContext", {}),
        "await-weights: may write its root",
    ),
    # Images.
    (
        "check_images",
        in_container("Job/weights", "image", "python:3.11"),
        "weights has the image python:3.11",
    ),
    (
        "check_images",
        in_pod(DRAFTER, "initContainers.0.image", "drafter"),
        "await-weights has the image drafter",
    ),
    # Rights.
    ("check_rights", on("Role/router", "rules.0.verbs", ["*"]), "endpointslices: *, uses"),
    ("check_rights", on("Role/router", "rules.0.verbs", ["list"]), "is granted"),
    ("check_rights", on("Role/router", "rules.0.resources", ["secrets"]), "secrets"),
    ("check_rights", on("Role/router", "kind", "ClusterRole"), "beyond the namespace"),
    ("check_rights", without("Role/router"), "there is no Role/router"),
    ("check_rights", on("RoleBinding/router", "subjects.0.name", "drafter"), "drafter: is granted"),
    ("check_rights", on("RoleBinding/router", "subjects.0.kind", "Group"), "binds the Group"),
    ("check_rights", in_pod(DRAFTER, "automountServiceAccountToken", True), "mounts a token"),
    ("check_rights", in_pod(ROUTER, "automountServiceAccountToken", False), "lacks a token"),
    ("check_rights", in_pod("Job/weights", "automountServiceAccountToken", ...), "mounts a token"),
    # Scaling.
    ("check_scaling", on(DRAFTER, "spec.replicas", 3), "3 replicas and an autoscaler"),
    (
        "check_scaling",
        on("HorizontalPodAutoscaler/expert", "spec.scaleTargetRef.name", "drafter"),
        "2 autoscalers",
    ),
]


@pytest.mark.parametrize(("name", "change", "text"), CASES, ids=[f"{n}: {t}" for n, _, t in CASES])
def test_a_check_finds_what_is_broken(
    whole: list[Object], name: str, change: Callable[[Broken], None], text: str
) -> None:
    (check,) = [check for check in CHECKS if check.__name__ == name]
    assert list(check(whole)) == []
    broken = Broken(copy.deepcopy(whole))
    change(broken)
    found = list(check(broken.objects))
    assert any(text in line for line in found), found


def test_every_check_has_a_broken_manifest() -> None:
    assert {name for name, _, _ in CASES} == {check.__name__ for check in CHECKS}


def test_what_one_check_finds_is_told(whole: list[Object]) -> None:
    broken = Broken(copy.deepcopy(whole))
    broken.pod(ROUTER)["terminationGracePeriodSeconds"] = 1
    (text,) = problems(broken.objects)
    assert text.startswith("Deployment/router: router: preStop 5 s")


@given(
    st.integers(0, 10**6), st.sampled_from([("", 1), ("k", 10**3), ("Mi", 2**20), ("Gi", 2**30)])
)
def test_a_quantity_is_its_number_by_its_unit(number: int, unit: tuple[str, int]) -> None:
    assert quantity(f"{number}{unit[0]}") == number * unit[1]
    assert quantity(f"{number * 1000}m") == number


@pytest.mark.parametrize("text", ["", "Gi", "1Gib", "one", "1 Gi", "1mi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)
