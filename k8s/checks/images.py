"""Images come from one place, k8s/images."""

from collections.abc import Iterator

from k8s.images import names
from k8s.objects import Object, pods


def check_images(objects: list[Object]) -> Iterator[str]:
    """Every image is one of those that k8s/images names, and has a tag."""
    known = set(names().values())
    for pod in pods(objects):
        for container in pod.containers:
            if container["image"] not in known:
                yield (
                    f"{pod.owner}: {container['name']} has the image {container['image']}, "
                    f"which k8s/images does not name"
                )
