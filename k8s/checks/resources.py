"""Requests and limits."""

from collections.abc import Iterator

from k8s.objects import Object, pods, quantity


def check_resources(objects: list[Object]) -> Iterator[str]:
    """Every container asks for CPU and memory, and its limits are no less than its requests.

    What the cluster does not overcommit, such as GPUs, has a limit that equals its request.
    """
    for pod in pods(objects):
        for container in pod.containers:
            where = f"{pod.owner}: {container['name']}"
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            for name in sorted({"cpu", "memory"} | requests.keys() | limits.keys()):
                request, limit = requests.get(name), limits.get(name)
                if request is None or limit is None:
                    yield f"{where}: {name} has request {request} and limit {limit}"
                elif quantity(limit) < quantity(request):
                    yield f"{where}: limit of {name} {limit} is below its request {request}"
                elif "/" in name and quantity(limit) != quantity(request):
                    yield f"{where}: limit of {name} {limit} is not its request {request}"
