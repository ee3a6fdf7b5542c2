"""How a pod's process keeps the memory that it frees.

glibc takes an array of more than 32 MB from the kernel anew and gives it back at once; the kernel
clears each of its pages at the first touch.  For the rows of sixteen sessions that costs more than
all that is computed on them.  Kept and used again, the same memory costs nothing.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT = 1 << 30
_LARGE = 1 << 20


def give_back_large_memory() -> bool:
    """Lets this process give every array of a MiB or more back as soon as it is freed.

    To be called before threads start, and kept to while a model is loaded: what loading frees would
    else stay.  All threads share one arena, for no other takes large arrays later.

    Returns:
        Whether it does: glibc alone has these settings.
    """
    return _set({_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _LARGE})


def keep_freed_memory() -> bool:
    """Lets this process keep freed arrays of up to 1 GiB, and 1 GiB in all, for the next ones.

    Returns:
        Whether it does: glibc alone has these settings.
    """
    return _set({_M_MMAP_THRESHOLD: _KEPT, _M_TRIM_THRESHOLD: _KEPT})


def _set(settings: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*setting) for setting in settings.items())
