"""What is checked before anything starts: the models, the memory, the port."""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from router.cli.errors import StartFailed, UsageError
from router.cli.weights import loaded_bytes
from services.models.catalog import Catalog, default_models_dir, is_present, resolve
from services.models.errors import ModelsError

HOST = "127.0.0.1"

POD_BYTES = 400 << 20
"""What a pod takes beside its weights, about: the interpreter, torch, room to compute."""


@dataclass(frozen=True)
class Models:
    """A pair's folders, and its name if it has one."""

    name: str | None
    drafter: Path
    expert: Path


def find_models(pair: str | None, drafter: Path | None, expert: Path | None) -> Models:
    """The models that were asked for; by default the catalogue's default pair.

    Raises:
        UsageError: half a pair, or both a name and folders.
        StartFailed: a pair is not known, or a model is not there.
    """
    if drafter is None and expert is None:
        try:
            name = pair or Catalog.load().default
            return Models(name, *resolve(name, default_models_dir()))
        except ModelsError as error:
            raise StartFailed(str(error)) from error
    if drafter is None or expert is None:
        raise UsageError("--drafter and --expert go together: give both, or --pair")
    if pair is not None:
        raise UsageError("give either --pair or --drafter and --expert")
    for flag, folder in (("--drafter", drafter), ("--expert", expert)):
        if not is_present(folder):
            raise StartFailed(f"{flag}: no model in {folder} (no config.json)")
    return Models(None, drafter.resolve(), expert.resolve())


def needed_memory(
    models: Models, dtype: str, device: str, weights: dict[str, str]
) -> dict[str, int]:
    """The bytes that each of the two pods will take, about, without its sessions.

    Args:
        models: the pair.
        dtype, device: of both.
        weights: what each role's are to be kept in.

    Raises:
        StartFailed: a model has no readable weights.
    """
    return {
        role: loaded_bytes(folder, dtype, device, weights[role]) + POD_BYTES
        for role, folder in (("drafter", models.drafter), ("expert", models.expert))
    }


def check_memory(needed: dict[str, int], dtype: str) -> None:
    """Refuses what does not fit into the memory that is available now.

    Raises:
        StartFailed: saying how much is needed, and how much there is.
    """
    available = psutil.virtual_memory().available
    total = sum(needed.values())
    if total > available:
        parts = ", ".join(f"{role} {gigabytes(size)}" for role, size in needed.items())
        advice = "; --dtype bfloat16 halves the weights" if dtype == "float32" else ""
        raise StartFailed(
            f"too little memory: {gigabytes(total)} needed ({parts}), "
            f"{gigabytes(available)} available{advice}"
        )


def check_port(port: int) -> None:
    """Refuses a port that is taken.

    Raises:
        StartFailed: naming it, and its owner where the system tells.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise StartFailed(
                f"can't listen on {HOST}:{port}: {error.strerror}{_owner(port)}; "
                "choose another with --port"
            ) from error


def _owner(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
                pid = connection.pid
                return f" (by {psutil.Process(pid).name()}, pid {pid})" if pid else ""
    return ""


def gigabytes(size: int) -> str:
    """``3.1 GB``."""
    return f"{size / 1e9:.1f} GB"
