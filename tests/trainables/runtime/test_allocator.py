"""Freed memory is used again, measured by page faults."""

import platform
import subprocess
import sys

import pytest

STEPS = 20
PAGES = 16 * 2**20 // 4096
"""Bytes of one block."""
SCRIPT = f"""
import ctypes, resource, sys
from trainables.runtime.allocator import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def steps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({STEPS}):
        # More at a time than glibc keeps by itself: twice the largest block that it has seen freed.
        blocks = [libc.malloc({PAGES} * 4096) for _ in range(4)]
        for block in blocks:
            libc.memset(block, 1, {PAGES} * 4096)
        for block in blocks:
            libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_freed_memory()
steps()
print(steps())
"""


def faults_of_steps(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
def test_a_step_takes_the_pages_that_the_last_one_freed() -> None:
    assert faults_of_steps("given back") > STEPS * PAGES, "without page faults there is nothing to test"
    assert faults_of_steps("kept") < PAGES, "less than one block of one step"
