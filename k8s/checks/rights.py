"""What pods may ask of the cluster: no more than the code asks."""

from collections.abc import Iterator

from k8s.objects import Object, of_kind, pods, title

USED = {"router": {("discovery.k8s.io", "endpointslices"): {"list", "watch"}}}
"""By service account: the verbs that its code uses on (group, resource)."""


def check_rights(objects: list[Object]) -> Iterator[str]:
    """Roles grant what is used and nothing else, and a token is where a role is."""
    for item in of_kind(objects, "ClusterRole", "ClusterRoleBinding"):
        yield f"{title(item)}: no right reaches beyond the namespace"
    granted: dict[str, dict[tuple[str, str], set[str]]] = {}
    for binding in of_kind(objects, "RoleBinding"):
        name = binding["roleRef"]["name"]
        roles = [r for r in of_kind(objects, "Role") if r["metadata"]["name"] == name]
        if not roles:
            yield f"{title(binding)}: there is no Role/{name}"
        for subject in binding["subjects"]:
            if subject["kind"] != "ServiceAccount":
                yield f"{title(binding)}: binds the {subject['kind']} {subject['name']}"
            rights = granted.setdefault(subject["name"], {})
            for role in roles:
                for rule in role["rules"]:
                    for group in rule["apiGroups"]:
                        for resource in rule["resources"]:
                            rights.setdefault((group, resource), set()).update(rule["verbs"])
    for account in granted.keys() | USED.keys():
        if granted.get(account, {}) != USED.get(account, {}):
            yield (
                f"ServiceAccount/{account}: is granted {_plain(granted.get(account, {}))}, "
                f"uses {_plain(USED.get(account, {}))}"
            )
    for pod in pods(objects):
        mounts = pod.spec.get("automountServiceAccountToken", True)
        if mounts != (pod.spec.get("serviceAccountName") in USED):
            yield f"{pod.owner}: {'mounts' if mounts else 'lacks'} a token of the cluster"


def _plain(rights: dict[tuple[str, str], set[str]]) -> str:
    return (
        "; ".join(f"{'/'.join(on)}: {', '.join(sorted(v))}" for on, v in sorted(rights.items()))
        or "nothing"
    )
