"""What a process of the system sets for its libraries, before they read it."""

import os
import subprocess
import sys

import pytest

NAMES = ("GRPC_EXPERIMENTS", "GOMP_SPINCOUNT", "TOKENIZERS_PARALLELISM")

_TOLD = """
import sys
import {package}
assert "grpc" not in sys.modules and "torch" not in sys.modules, "too late"
import os
print(*(os.environ[name] for name in {names}))
"""


def told(package: str, **given: str) -> list[str]:
    """What the libraries will read in a process that begins with a package."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    ran = subprocess.run(
        [sys.executable, "-c", _TOLD.format(package=package, names=NAMES)],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


@pytest.mark.parametrize("package", ["services", "router", "bench"])
def test_every_process_takes_the_older_poller(package: str) -> None:
    assert told(package) == ["-event_engine_client,-event_engine_listener", "2000", "false"]


def test_what_the_environment_says_holds() -> None:
    assert told("router", GRPC_EXPERIMENTS="tsi_frame_protector_without_locks") == [
        "tsi_frame_protector_without_locks",
        "2000",
        "false",
    ]
