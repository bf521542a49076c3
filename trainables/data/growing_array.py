"""An array that grows in a file and is then memory-mapped; its pages are released soon after use.

Mapped pages count as the process's memory, and a large data set would exceed the memory limit.
"""

import io
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

BLOCK_BYTES = 2**24


class GrowingArray:
    """Rows of equal shape and type, appended to a file in pieces."""

    def __init__(self, file: BinaryIO, first: np.ndarray) -> None:
        self._file, self._dtype, self._row_shape = file, first.dtype, first.shape[1:]
        self._map: mmap.mmap | None = None
        self._num_rows = 0

    def append(self, array: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(array).data)
        self._num_rows += len(array)

    def array(self) -> np.ndarray:
        """All rows, mapped read-only; append nothing after this."""
        if self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, self._dtype).reshape(self._num_rows, *self._row_shape)

    def release_pages(self) -> None:
        """Releases the mapped pages; a later access reads them from the file again."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class PageReleasingFile(io.RawIOBase):
    """An output file for the arrays' content: releases the arrays' pages after each block that it writes."""

    def __init__(self, path: Path, spools: Sequence[GrowingArray]) -> None:
        self._file, self._spools = path.open("wb"), spools

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for start in range(0, len(view), BLOCK_BYTES):
            self._file.write(view[start : start + BLOCK_BYTES])
            for spool in self._spools:
                spool.release_pages()
        return len(view)

    def close(self) -> None:
        self._file.close()
        super().close()
