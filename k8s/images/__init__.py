"""The images' names, from the one place that has them: ``kustomization.yaml`` beside this."""

from pathlib import Path

import yaml

_PLACE = Path(__file__).parent / "kustomization.yaml"


def names() -> dict[str, str]:
    """Each service's image with its tag."""
    images = yaml.safe_load(_PLACE.read_text())["images"]
    return {image["name"]: f"{image['newName']}:{image['newTag']}" for image in images}
