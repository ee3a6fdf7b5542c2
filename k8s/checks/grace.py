"""How a pod ends: the wait before SIGTERM, the drain, and the kill."""

from collections.abc import Iterator

from k8s.objects import Object, services, settings_prefix

STOP_S = 10
"""What a server may take to stop after its drain."""


def check_grace(objects: list[Object]) -> Iterator[str]:
    """preStop, drain and stop fit into the grace period; each is given."""
    for pod, container, variables in services(objects):
        where = f"{pod.owner}: {container['name']}"
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
        grace = variables.get(settings_prefix(container) + "GRACE_S")
        period = pod.spec.get("terminationGracePeriodSeconds")
        if sleep is None or grace is None or period is None:
            yield f"{where}: preStop sleeps {sleep}, --grace-s is {grace}, the period is {period}"
        elif sleep + float(grace) + STOP_S > period:
            yield (
                f"{where}: preStop {sleep} s, drain {grace} s and stop {STOP_S} s "
                f"do not fit into {period} s"
            )
