"""Ports: names that pods have, numbers that servers listen on."""

from collections.abc import Iterator

from k8s.objects import Object, matching, of_kind, services, settings_prefix, title

_SETTINGS = {"grpc": "PORT", "metrics": "METRICS_PORT", "health": "HEALTH_PORT"}


def check_ports(objects: list[Object]) -> Iterator[str]:
    """Services, policies and monitors name ports of their pods; probes ask where health answers."""
    for item in of_kind(objects, "Service"):
        for port in item["spec"]["ports"]:
            for pod in matching(objects, item["spec"]["selector"]):
                if port["targetPort"] not in pod.ports:
                    yield f"{title(item)}: no port {port['targetPort']} in {pod.owner}"
                elif port["port"] != pod.ports[port["targetPort"]]:
                    # Clients of a headless Service reach the pods' own ports.
                    yield f"{title(item)}: port {port['port']} is another one in {pod.owner}"
    for item in of_kind(objects, "NetworkPolicy"):
        yield from _policy(objects, item)
    for item in of_kind(objects, "ServiceMonitor"):
        for service in of_kind(objects, "Service"):
            names = {port["name"] for port in service["spec"]["ports"]}
            for endpoint in item["spec"]["endpoints"]:
                if endpoint["port"] not in names:
                    yield f"{title(item)}: no port {endpoint['port']} in {title(service)}"
    for pod, container, variables in services(objects):
        where = f"{pod.owner}: {container['name']}"
        prefix = settings_prefix(container)
        for port in container["ports"]:
            variable = prefix + _SETTINGS[port["name"]]
            if variables.get(variable) != str(port["containerPort"]):
                yield (
                    f"{where}: port {port['name']} is {port['containerPort']}, "
                    f"{variable} is {variables.get(variable)}"
                )
        health = pod.ports.get("health", pod.ports["grpc"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container.get(probe, {}).get("grpc", {}).get("port")
            if asked != health:
                yield f"{where}: {probe} asks port {asked}, health answers on {health}"


def _policy(objects: list[Object], item: Object) -> Iterator[str]:
    """Named ports of a policy: of the pods that it is for, or of those that they may reach."""
    spec = item["spec"]
    targets = [(rule, [spec["podSelector"]]) for rule in spec.get("ingress", [])]
    targets += [
        (rule, [peer["podSelector"] for peer in rule.get("to", []) if "podSelector" in peer])
        for rule in spec.get("egress", [])
    ]
    for rule, selectors in targets:
        for port in rule.get("ports", []):
            if not isinstance(port["port"], str):
                continue
            for selector in selectors:
                for pod in matching(objects, selector["matchLabels"]):
                    if pod.owner.startswith("Deployment/") and port["port"] not in pod.ports:
                        yield f"{title(item)}: no port {port['port']} in {pod.owner}"
