"""How much memory a model's weights take, read from the heads of its safetensors files."""

import json
import math
import platform
import struct
from pathlib import Path

from router.cli.errors import StartFailed

_BYTES = {"float32": 4, "bfloat16": 2}
_COPY_BYTES = {"bfloat16+float16": 2, "int8": 1, "int4": 0.625}
"""Kept beside those of the dtype, with the scales."""
_LARGEST_HEAD = 100 << 20


def parameters(folder: Path) -> int:
    """The number of weights in a model's folder.

    Raises:
        StartFailed: there are none, or a file is not in safetensors' format.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise StartFailed(f"{folder}: no *.safetensors there")
    return sum(_parameters(file) for file in files)


def _parameters(path: Path) -> int:
    """A file begins with the length of its head, 8 bytes, and the head, JSON."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LARGEST_HEAD:
                raise ValueError(f"a head of {length} bytes")
            head = json.loads(file.read(length))
        return sum(
            math.prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__"
        )
    except OSError as error:
        raise StartFailed(f"can't read {path}: {error.strerror}") from error
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StartFailed(f"{path} is not in safetensors' format") from error


def loaded_bytes(folder: Path, dtype: str, device: str, weights: str = "auto") -> int:
    """The memory that a model's weights take once they are loaded.

    Args:
        folder: the model's.
        dtype: auto, float32 or bfloat16.
        device: auto, cpu or cuda.
        weights: auto, bfloat16, bfloat16+float16, int8 or int4.

    Raises:
        StartFailed: as ``parameters``.
    """
    if dtype == "auto":
        dtype = "bfloat16" if has_bfloat16(device) else "float32"
    dtype = "bfloat16" if weights.startswith("bfloat16") else dtype
    return round(parameters(folder) * (_BYTES[dtype] + _COPY_BYTES.get(weights, 0)))


def has_bfloat16(device: str, cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether ``auto`` means bfloat16: on CUDA, and on CPUs on which oneDNN multiplies it.

    Where the CPU does not tell, yes: too small an estimate refuses nobody.
    """
    if device == "cuda" or (device == "auto" and Path("/dev/nvidiactl").exists()):
        return True
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        return True
    key = "flags" if platform.machine() in ("x86_64", "AMD64") else "Features"
    flags = next((set(line.split()) for line in lines if line.startswith(key)), None)
    if flags is None:
        return True
    needed = [{"avx512f", "avx512bw", "avx512vl", "avx512dq"}, {"avx_ne_convert"}, {"bf16"}]
    return any(some <= flags for some in needed)
