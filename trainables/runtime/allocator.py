"""What tensors free stays with the process, for the next step's tensors of the same sizes.

glibc gives larger blocks back to the kernel as they are freed, and every step asks for them again: on the processor a
part of every epoch is then spent on pages that the kernel clears anew.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
MAX_MMAP_THRESHOLD = 32 * 2**20
"""The largest that glibc takes: greater blocks are the kernel's, and go back to it."""
GROWTH = 64 * 2**20
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """For this process from now on; changes nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, NEVER)
        mallopt(_M_TOP_PAD, GROWTH)
