"""``python -m k8s.images.contents``: a digest of what the images are made of.

They bear it as a label, by which anyone can tell whether an image is of the code at hand.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

LABEL = "cascade.contents"
_ROOT = Path(__file__).parents[2]


def contents(root: Path = _ROOT) -> str:
    """SHA-256 of the Containerfile and of all files that a build is given, names included."""
    digest = sha256()
    for path in sorted([root / "Containerfile", *_given(root)]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _given(root: Path) -> Iterator[Path]:
    """As ``.dockerignore`` says: nothing but what it excepts."""
    lines = (root / ".dockerignore").read_text().splitlines()
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        place = root / name
        inside = place.rglob("*") if place.is_dir() else [place]
        yield from (path for path in inside if path.is_file() and path.suffix != ".pyc")


if __name__ == "__main__":
    print(contents())
