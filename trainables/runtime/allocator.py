"""Sets glibc's allocator to keep freed memory in the process, for the next step's tensors of the same sizes.

By default glibc returns large freed blocks to the kernel, and every training step asks for them again. On the CPU a
part of every epoch then goes into pages that the kernel clears again.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
MAX_MMAP_THRESHOLD = 32 * 2**20
"""The largest threshold that glibc accepts; larger blocks always come from the kernel and return to it."""
GROWTH = 64 * 2**20
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Applies to this process from now on; changes nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, NEVER)
        mallopt(_M_TOP_PAD, GROWTH)
