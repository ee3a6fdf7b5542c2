"""Every pod is hardened: no root, no new rights, nothing written but where it is told."""

from collections.abc import Iterator

from k8s.objects import Object, pods

_HOST = ("hostNetwork", "hostPID", "hostIPC")


def check_hardening(objects: list[Object]) -> Iterator[str]:
    """What the level `restricted` of Kubernetes asks, and read-only roots beside it."""
    for pod in pods(objects):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{pod.owner}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.owner}: has no seccomp profile RuntimeDefault"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.owner}: gets variables of all Services"
        for name in _HOST:
            if pod.spec.get(name):
                yield f"{pod.owner}: has {name}"
        for volume in pod.spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{pod.owner}: mounts the host's {volume['hostPath']['path']}"
        for container in pod.containers:
            yield from _container(f"{pod.owner}: {container['name']}", container)


def _container(where: str, container: Object) -> Iterator[str]:
    own = container.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: may escalate privileges"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{where}: may write its root"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where}: does not drop all capabilities, or adds some"
    if own.get("privileged"):
        yield f"{where}: is privileged"
    if own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
        yield f"{where}: may run as root"
    if "seccompProfile" in own and own["seccompProfile"].get("type") != "RuntimeDefault":
        yield f"{where}: has another seccomp profile than RuntimeDefault"
