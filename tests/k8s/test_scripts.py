"""The scripts for images and clusters: what they refuse, and what shellcheck says of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from k8s.images import names
from k8s.images.contents import LABEL, contents

ROOT = Path(__file__).parents[2]
SHELLCHECK = str(Path(sys.executable).parent / "shellcheck")
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "k8s").rglob("*.sh"))


def run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A script's end."""
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_has_nothing_to_say(script: str) -> None:
    done = run(SHELLCHECK, "--external-sources", script)
    assert done.returncode == 0, done.stdout


def test_the_contents_of_images_are_known_by_their_digest(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    for name, text in {
        ".dockerignore": "*\n!README.md\n!services\n**/__pycache__\n",
        "Containerfile": "FROM scratch\n",
        "README.md": "",
        "services/main.py": "1\n",
        "other.py": "",
    }.items():
        (tmp_path / name).write_text(text)
    first = contents(tmp_path)
    (tmp_path / "other.py").write_text("no part of an image")
    (tmp_path / "services" / "main.pyc").write_text("nor is this")
    assert contents(tmp_path) == first
    (tmp_path / "services" / "main.py").write_text("2\n")
    second = contents(tmp_path)
    (tmp_path / "services" / "main.py").rename(tmp_path / "services" / "other.py")
    assert len({first, second, contents(tmp_path)}) == 3
    assert LABEL in (ROOT / "k8s/containers/images.sh").read_text()


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
