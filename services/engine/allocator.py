"""How a pod's process keeps the memory that it frees.

glibc takes an array of more than 32 MB from the kernel anew and gives it back at once; the kernel
clears each of its pages at the first touch.  For the rows of sixteen sessions that costs more than
all that is computed on them.  Kept and used again, the same memory costs nothing.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT = 1 << 30


def keep_freed_memory() -> bool:
    """Lets this process keep freed arrays of up to 1 GiB, and 1 GiB in all, for the next ones.

    To be called before threads start: all share one arena, for no other takes large arrays.

    Returns:
        Whether it does: glibc alone has these settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(parameter, value)
        for parameter, value in (
            (_M_ARENA_MAX, 1),
            (_M_MMAP_THRESHOLD, _KEPT),
            (_M_TRIM_THRESHOLD, _KEPT),
        )
    )
