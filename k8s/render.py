"""Renders the manifests: ``python -m k8s.render`` writes every overlay to build/k8s/.

``python -m k8s.render OVERLAY`` writes one to standard output, ready for ``kubectl apply``; with
``--keep-data`` without the objects that hold what can't be had again, ready for ``kubectl delete``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from k8s.objects import Object

FOLDER = Path(__file__).parent
BUILD = FOLDER.parent / "build" / "k8s"

DATA = {"Namespace", "PersistentVolume", "PersistentVolumeClaim"}


class RenderError(Exception):
    """Kustomize refused."""


def overlays() -> list[str]:
    """The overlays by name."""
    return sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))


def components() -> list[str]:
    """The components by name."""
    return sorted(path.parent.name for path in FOLDER.glob("components/*/kustomization.yaml"))


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization.

    Raises:
        RenderError: with what kustomize says.
    """
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise RenderError(f"{folder}: {done.stderr.strip()}")
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def render_overlay(name: str) -> list[Object]:
    """The objects of an overlay.

    Raises:
        RenderError: there is no such overlay, or kustomize refuses it.
    """
    if name not in overlays():
        raise RenderError(f"no overlay {name!r}; there are {', '.join(overlays())}")
    return render(FOLDER / "overlays" / name)


def render_with(*names: str) -> list[Object]:
    """The objects of the base with these components, and the images.

    Raises:
        RenderError: with what kustomize says.
    """
    with tempfile.TemporaryDirectory() as folder:
        to = os.path.relpath(FOLDER, Path(folder).resolve())
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "cascade",
            "resources": [f"{to}/base"],
            "components": [*(f"{to}/components/{name}" for name in names), f"{to}/images"],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return render(Path(folder).resolve())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m k8s.render")
    parser.add_argument("overlay", nargs="?", help=f"one of {', '.join(overlays())}")
    parser.add_argument("--keep-data", action="store_true", help=f"leave out {sorted(DATA)}")
    options = parser.parse_args()
    try:
        if options.overlay:
            objects = render_overlay(options.overlay)
            if options.keep_data:
                objects = [item for item in objects if item["kind"] not in DATA]
            print(yaml.safe_dump_all(objects), end="")
            return
        BUILD.mkdir(parents=True, exist_ok=True)
        for name in overlays():
            path = BUILD / f"{name}.yaml"
            path.write_text(yaml.safe_dump_all(render_overlay(name)))
            print(path.relative_to(BUILD.parent.parent))
    except RenderError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
