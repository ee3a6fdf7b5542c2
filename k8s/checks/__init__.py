"""Checks of rendered manifests: what no schema sees.

A check is a function from the objects of one rendering to texts, each of which says what is wrong
and where.  Every check has a test that breaks a manifest.
"""

from collections.abc import Callable, Iterator
from typing import Any

from k8s.checks.environment import check_settings
from k8s.checks.grace import check_grace
from k8s.checks.hardening import check_hardening
from k8s.checks.images import check_images
from k8s.checks.names import check_names
from k8s.checks.ports import check_ports
from k8s.checks.resources import check_resources
from k8s.checks.rights import check_rights
from k8s.checks.scaling import check_scaling
from k8s.checks.schema import check_schemas
from k8s.checks.selectors import check_selectors

Check = Callable[[list[dict[str, Any]]], Iterator[str]]

CHECKS: tuple[Check, ...] = (
    check_schemas,
    check_selectors,
    check_ports,
    check_names,
    check_settings,
    check_grace,
    check_resources,
    check_hardening,
    check_images,
    check_rights,
    check_scaling,
)


def problems(objects: list[dict[str, Any]]) -> list[str]:
    """All that is wrong with the objects of one rendering."""
    return [text for check in CHECKS for text in check(objects)]
