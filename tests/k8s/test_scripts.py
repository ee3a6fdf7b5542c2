"""The scripts for images and clusters: what they refuse, and what shellcheck says of them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s.images import names

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("k8s", "containers")
    for path in (ROOT / folder).glob("*.sh")
)


def run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A script's end."""
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True
    )


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_has_nothing_to_say(script: str) -> None:
    done = run("shellcheck", "--external-sources", script)
    assert done.returncode == 0, done.stdout


def test_every_image_has_a_target() -> None:
    targets = re.findall(r"^FROM .* AS (\S+)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert names().keys() <= set(targets)


@pytest.mark.parametrize("script", ["k8s/deploy.sh", "k8s/undeploy.sh"])
def test_an_unknown_overlay_reaches_no_cluster(script: str) -> None:
    done = run(script, "nowhere", KUBECTL="false")
    assert done.returncode != 0
    assert done.stderr == "no overlay 'nowhere'; there are gpu, local\n"


@pytest.mark.parametrize(
    ("script", "variables", "text"),
    [
        ("smoke.sh", {"ENGINE": "buildah"}, "buildah runs no services"),
        (
            "smoke.sh",
            {"ENGINE": "docker", "KILL": "router"},
            "KILL must be drafter, expert or both",
        ),
        ("images.sh", {"ENGINE": "kaniko"}, "ENGINE must be podman, buildah or docker, got kaniko"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    script: str, variables: dict[str, str], text: str
) -> None:
    done = run(f"k8s/containers/{script}", **variables)
    assert done.returncode == 2
    assert text in done.stderr
