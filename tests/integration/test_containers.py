"""The images as containers: real images, a real network, the tiny pair as volumes.

In the suite wherever an engine and images of this very code are there.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s.images import names
from k8s.images.contents import LABEL, contents

ROOT = Path(__file__).parents[2]
MODES = [
    "drafter",
    "expert",
    "sequence_cascade",
    "token_cascade",
    "speculative",
    "speculative_cascade",
]

pytestmark = pytest.mark.timeout(900)


def engine(*command: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command of the engine, with the settings that the scripts give it."""
    script = 'source k8s/containers/engine.sh && "$ENGINE" "$@"'
    return subprocess.run(
        ["bash", "-c", script, "-", *command], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module", autouse=True)
def images() -> dict[str, str]:
    """The three images; skips where nothing can run them, or where they are of other code."""
    if not any(map(shutil.which, ("podman", "docker"))):
        pytest.skip("neither podman nor docker is installed")
    label = f'{{{{index .Config.Labels "{LABEL}"}}}}'
    for image in names().values():
        of = engine("image", "inspect", "--format", label, image).stdout.strip()
        if of != contents():
            pytest.skip(f"there is no image {image} of this code: make images")
    return names()


def ours() -> set[str]:
    """Names of the smoke test's containers and networks."""
    listed = engine("ps", "--all", "--format", "{{.Names}}").stdout
    listed += engine("network", "ls", "--format", "{{.Name}}").stdout
    return {name for name in listed.split() if name.startswith("cascade-smoke-")}


def smoke(**variables: str) -> list[str]:
    """What the script prints."""
    done = subprocess.run(
        ["k8s/containers/smoke.sh"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_they_answer_and_leave_nothing_behind(images: dict[str, str]) -> None:
    before = ours()
    lines = smoke(KILL="")
    assert [line for line in lines if line.endswith("tokens")] == [f"{m}: 32 tokens" for m in MODES]
    assert {line for line in lines if "stopped" in line} == {
        f"{service}: stopped with 0" for service in images
    }
    assert ours() == before


@pytest.mark.faults
def test_an_answer_goes_on_without_an_expert_then_without_the_drafter() -> None:
    before = ours()
    lost = [line for line in smoke(KILL="both", FLAGS="") if "went on without" in line]
    assert [line.removesuffix("-2") for line in lost] == [
        f"the answer went on without {role}" for role in ("expert", "drafter")
    ]
    assert ours() == before


@pytest.mark.parametrize("service", list(names()))
def test_an_image_is_hardened_and_small(images: dict[str, str], service: str) -> None:
    image = images[service]

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        flags = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"]
        return engine("run", *flags, "--entrypoint", command[0], image, *command[1:])

    def imports(module: str) -> bool:
        return run("python", "-c", f"import {module}").returncode == 0

    assert run("id", "-u").stdout.strip() == "65532"
    assert "Read-only file system" in run("touch", "/opt/file").stderr
    weights = run("find", "/", "-xdev", "-name", "*.safetensors", "-o", "-name", "*.gguf")
    assert (weights.stdout, weights.returncode) == ("", 1)  # some folders are root's alone
    if service == "router":
        assert imports("router.servicer")
        assert not imports("torch")
        assert not imports("transformers")
        assert int(engine("image", "inspect", "--format", "{{.Size}}", image).stdout) <= 350e6
    else:
        assert imports("services.pod.main")
