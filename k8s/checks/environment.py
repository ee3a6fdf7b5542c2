"""Settings that manifests give: each must be one that the service has."""

from collections.abc import Iterator

from pydantic_settings import BaseSettings

from k8s.objects import Object, services, settings_prefix
from router.settings import RouterSettings
from services.pod.settings import PodSettings

_CLASSES: dict[str, type[BaseSettings]] = {
    "CASCADE_POD_": PodSettings,
    "CASCADE_ROUTER_": RouterSettings,
}


def check_settings(objects: list[Object]) -> Iterator[str]:
    """Every variable is a setting, since a service ignores variables that it does not know."""
    for pod, container, variables in services(objects):
        prefix = settings_prefix(container)
        known = _CLASSES[prefix].model_fields
        for name in variables:
            if name.removeprefix(prefix).lower() not in known or not name.startswith(prefix):
                yield f"{pod.owner}: {name} is no setting of {container['name']}"
