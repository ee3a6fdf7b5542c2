"""What a process of the system sets for its libraries, before they read it."""

import os
import subprocess
import sys

import pytest

from services.threads import SPINS

NAMES = ("GRPC_EXPERIMENTS", "TOKENIZERS_PARALLELISM", "GOMP_SPINCOUNT")

_TOLD = """
import sys
import {package}
assert {late} or ("grpc" not in sys.modules and "torch" not in sys.modules), "too late"
import os
print(*(os.environ.get(name, "none") for name in {names}))
"""


def told(package: str, *, late: bool = False, **given: str) -> list[str]:
    """What the libraries will read in a process that begins with a package.

    ``late``: what the processes that it starts will; its own have read it.
    """
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    ran = subprocess.run(
        [sys.executable, "-c", _TOLD.format(package=package, names=NAMES, late=late)],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


@pytest.mark.parametrize("package", ["services", "router", "bench"])
def test_every_process_takes_the_older_poller(package: str) -> None:
    assert told(package)[:2] == ["-event_engine_client,-event_engine_listener", "false"]


def test_what_the_environment_says_holds() -> None:
    poller = "tsi_frame_protector_without_locks"
    found = told("services.expert", GRPC_EXPERIMENTS=poller, GOMP_SPINCOUNT="7")
    assert found == [poller, "false", "7"]


@pytest.mark.parametrize("package", ["services.drafter", "services.expert"])
def test_a_pods_threads_sleep_soon(package: str) -> None:
    assert told(package)[2] == SPINS


@pytest.mark.parametrize("package", ["bench.speed.__main__", "bench.streams.__main__"])
def test_what_a_pod_sets_for_its_threads_is_set_for_no_peer(package: str) -> None:
    assert told(package, late=True)[2] == "none"
