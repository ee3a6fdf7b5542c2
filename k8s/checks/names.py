"""Objects that name other objects."""

from collections.abc import Iterator

from k8s.objects import Object, of_kind, pods, title


def check_names(objects: list[Object]) -> Iterator[str]:
    """Config maps and service accounts are there; mounts have volumes; nothing has two namespaces.

    A claim is there, too, where any component brings claims.  Secrets are not: whoever runs the
    cluster makes them.
    """
    there = {title(item) for item in objects}
    claims = of_kind(objects, "PersistentVolumeClaim")
    for pod in pods(objects):
        wanted = [
            f"ConfigMap/{source['configMapRef']['name']}"
            for container in pod.containers
            for source in container.get("envFrom", [])
        ]
        if account := pod.spec.get("serviceAccountName"):
            wanted.append(f"ServiceAccount/{account}")
        if claims:
            wanted += [
                f"PersistentVolumeClaim/{volume['persistentVolumeClaim']['claimName']}"
                for volume in pod.spec.get("volumes", [])
                if "persistentVolumeClaim" in volume
            ]
        for name in wanted:
            if name not in there:
                yield f"{pod.owner}: names {name}, which is not there"
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        mounted = {
            mount["name"]
            for container in pod.containers
            for mount in container.get("volumeMounts", [])
        }
        for name in volumes ^ mounted:
            yield f"{pod.owner}: volume {name} is not both there and mounted"
    spaces = {item["metadata"]["namespace"] for item in objects if "namespace" in item["metadata"]}
    if len(spaces) != 1:
        yield f"objects are in the namespaces {sorted(spaces)}, and should be in one"
