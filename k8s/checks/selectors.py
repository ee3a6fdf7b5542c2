"""Selectors find what they are for."""

from collections.abc import Iterator

from k8s.objects import Object, matching, of_kind, title

OUTSIDE = {"cascade-client"}
"""Labels of pods that are not ours."""

ABSENT = {"weights"}
"""Names of pods that only some components bring; a policy may name them without."""


def check_selectors(objects: list[Object]) -> Iterator[str]:
    """Every selector matches a pod, and a Deployment's matches its own pods."""
    for item in of_kind(objects, "Deployment"):
        wanted = item["spec"]["selector"]["matchLabels"]
        labels = item["spec"]["template"]["metadata"]["labels"]
        if not wanted.items() <= labels.items():
            yield f"{title(item)}: selects {wanted}, its pods have {labels}"
        found = matching(objects, wanted)
        if len(found) > 1:
            yield f"{title(item)}: selects pods of {', '.join(pod.owner for pod in found)}"
    for item, selector in _selectors(objects):
        labels = selector.get("matchLabels", {})
        if OUTSIDE & labels.keys() or labels.get("app.kubernetes.io/name") in ABSENT:
            continue
        if not matching(objects, labels):
            yield f"{title(item)}: selects {labels}, which no pod has"
    for item in of_kind(objects, "ServiceMonitor"):
        wanted = item["spec"]["selector"]["matchLabels"]
        for service in of_kind(objects, "Service"):
            if not wanted.items() <= service["metadata"]["labels"].items():
                yield f"{title(item)}: selects {wanted}, which {title(service)} has not"
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if target["name"] not in {d["metadata"]["name"] for d in of_kind(objects, target["kind"])}:
            yield f"{title(item)}: scales {target['kind']}/{target['name']}, which is not there"


def _selectors(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Every selector of pods beside a Deployment's own."""
    for item in objects:
        spec = item.get("spec", {})
        match item["kind"]:
            case "Service":
                yield item, {"matchLabels": spec["selector"]}
            case "PodDisruptionBudget":
                yield item, spec["selector"]
            case "Deployment":
                for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
                    yield item, spread["labelSelector"]
            case "NetworkPolicy":
                yield item, spec["podSelector"]
                for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
                    for peer in [*rule.get("from", []), *rule.get("to", [])]:
                        if "podSelector" in peer:
                            yield item, peer["podSelector"]
