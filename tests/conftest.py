"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator

import pytest

from tests.services import Services, running


@pytest.fixture(scope="session")
def tiny_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Three real processes with the tiny pair in float32, for the whole run."""
    with running(tmp_path_factory.mktemp("services")) as services:
        yield services
