"""Strict schemas: those of the newest Kubernetes versions, and our own for the operator's kinds."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
from kubernetes_validate import utils

from k8s.objects import Object, title

_FOLDER = Path(__file__).parent / "schemas"
_COUNT = 3


def versions() -> list[str]:
    """The newest three versions of Kubernetes whose schemas are here, such as ``1.37.0``."""
    found = dict.fromkeys(utils.all_versions())
    return list(found)[-_COUNT:]


def check_schemas(objects: list[Object]) -> Iterator[str]:
    """Every object follows its schema, which refuses fields that it does not name."""
    for item in objects:
        plain = json.dumps(item, sort_keys=True)
        if item["apiVersion"].startswith("monitoring.coreos.com/"):
            found = _operator(plain)
        else:
            found = tuple(text for version in versions() for text in _kubernetes(plain, version))
        for text in found:
            yield f"{title(item)}: {text}"


@cache  # renderings share most of their objects, and the schemas are large
def _kubernetes(plain: str, version: str) -> tuple[str, ...]:
    try:
        utils.validate(json.loads(plain), version, strict=True)
    except utils.ValidationError as error:
        return (f"Kubernetes {version}: {_place(error)}: {error.message}",)
    except utils.SchemaNotFoundError as error:
        return (error.message,)
    return ()


@cache
def _operator(plain: str) -> tuple[str, ...]:
    """The Prometheus operator's kinds: the parts of their definitions that we use."""
    item = json.loads(plain)
    path = _FOLDER / f"{item['kind'].lower()}.json"
    if not path.exists():
        return (f"no schema for kind {item['kind']} in {_FOLDER.name}/",)
    schema = json.loads(path.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    return tuple(f"{_place(error)}: {error.message}" for error in validator.iter_errors(item))


def _place(error: jsonschema.ValidationError) -> str:
    return ".".join(map(str, error.path)) or "."
