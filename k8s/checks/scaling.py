"""How many pods: by a number or by an autoscaler, not by both."""

from collections.abc import Iterator

from k8s.objects import Object, of_kind, title


def check_scaling(objects: list[Object]) -> Iterator[str]:
    """What an autoscaler scales has no number of its own, which each `apply` would set anew."""
    scaled = [
        item["spec"]["scaleTargetRef"]["name"]
        for item in of_kind(objects, "HorizontalPodAutoscaler")
    ]
    for item in of_kind(objects, "Deployment"):
        count = scaled.count(item["metadata"]["name"])
        if count > 1:
            yield f"{title(item)}: {count} autoscalers scale it"
        if count and "replicas" in item["spec"]:
            yield f"{title(item)}: has {item['spec']['replicas']} replicas and an autoscaler"
