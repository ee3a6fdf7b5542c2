"""Fetching a pair: check the disk, download what lacks, convert it to folders."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from services.models.catalog import REPOSITORY, Catalog, is_present, require
from services.models.download import download_file
from services.models.errors import ConversionFailed, FetchRunning, NoSpace
from services.models.progress import FetchProgress, folder_bytes
from services.models.specs import ROLES, DownloadedModel, LocalModel, Role


def fetch_pair(
    catalog: Catalog, name: str, models_dir: Path, progress: FetchProgress, keep: bool = False
) -> None:
    """Bring both folders of a pair into place; what is there already is left alone.

    While one model is converted, the other is downloaded.

    Args:
        models_dir: folders become `models_dir/<name>/<drafter or expert>`.
        keep: leave each downloaded file beside its folder; one that lacks is downloaded, even where
            its folder is there.

    Raises:
        ModelsError: of the kinds that `errors` tells.
    """
    for role in ROLES:
        if isinstance(catalog.pair(name).model(role), LocalModel):
            require(catalog, name, role, models_dir)
    models_dir.mkdir(parents=True, exist_ok=True)
    with _only_fetch_in(models_dir), ThreadPoolExecutor(1) as converter:
        missing = _missing(catalog, name, models_dir, keep=keep)
        _check_space(missing, name, models_dir)
        conversions = []
        for role, model in missing.items():
            home = models_dir / name
            home.mkdir(exist_ok=True)
            file = home / model.file
            download_file(model, file, models_dir / ".downloads" / f"{name}-{role}", progress)
            if not is_present(home / role):
                convert = converter.submit(_convert, model, file, home / role, keep, progress)
                conversions.append(convert)
        for conversion in conversions:
            conversion.result()


def _missing(
    catalog: Catalog, name: str, models_dir: Path, *, keep: bool
) -> dict[Role, DownloadedModel]:
    """The models of a pair that have to be downloaded."""
    pair, home = catalog.pair(name), models_dir / name
    return {
        role: model
        for role in ROLES
        if isinstance(model := pair.model(role), DownloadedModel)
        and not (is_present(home / role) and (not keep or (home / model.file).is_file()))
    }


def _check_space(missing: dict[Role, DownloadedModel], name: str, models_dir: Path) -> None:
    """Refuse to begin what the disk cannot hold: each file beside its folder, if one is to come.

    The parts of a file that is being joined fit into the room of its folder; else they need theirs.
    """
    needed = 0
    for role, model in missing.items():
        converts = not is_present(models_dir / name / role)
        needed += model.size + max(model.size, model.folder_size if converts else 0)
    needed -= folder_bytes(models_dir / ".downloads")
    free = shutil.disk_usage(models_dir).free
    if needed > free:
        raise NoSpace(
            f"{models_dir} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB is needed"
        )


@contextmanager
def _only_fetch_in(models_dir: Path) -> Iterator[None]:
    """Hold the folder's lock; another fetch into it would mix its bytes with ours."""
    lock = FileLock(models_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FetchRunning(f"another fetch into {models_dir} is running") from error
    try:
        yield
    finally:
        lock.release()


def _convert(
    model: DownloadedModel, file: Path, folder: Path, keep: bool, progress: FetchProgress
) -> None:
    """Convert a file into a folder, which appears under its name only when complete.

    A process of its own does it: this one stays free of torch, and the memory comes back.
    """
    staging = folder.with_name(f".{folder.name}.converting")
    shutil.rmtree(staging, ignore_errors=True)
    command = [sys.executable, "-m", "services.models.convert", str(file), str(staging)]
    command += [f"--end-token={token}" for token in model.end_tokens]
    command += [f"--normalizer={model.normalizer}"] if model.normalizer else []
    with progress.step(f"{model.name}: converting to bfloat16"):
        child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if child.returncode != 0:
            shutil.rmtree(staging, ignore_errors=True)
            raise ConversionFailed(f"cannot convert {model.file}: {_reason(child)}")
    staging.replace(folder)
    if not keep:
        file.unlink()


def _reason(child: subprocess.CompletedProcess[str]) -> str:
    """Why the conversion failed, from its last words or the signal that ended it."""
    if child.returncode < 0:
        return f"ended by {signal.Signals(-child.returncode).name}, perhaps for want of memory"
    return (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
