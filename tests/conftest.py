"""Fixtures that more than one folder of tests uses."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.services import Services, running


@pytest.fixture(scope="session")
def tiny_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Three real processes with the tiny pair in float32, for the whole run."""
    with running(tmp_path_factory.mktemp("services")) as services:
        yield services


# How long an example takes depends on the machine, and no test asserts a time.  The examples are
# the same in every run, so that a run that fails can be run again.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

# A shell that runs the suite in the background has it ignore SIGINT, and what the tests start would
# inherit that: Ctrl-C would never reach it.
signal.signal(signal.SIGINT, signal.default_int_handler)
