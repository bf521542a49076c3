"""An array that grows on the disk, then is read through a map whose pages are let go as soon as they were used.

Mapped pages that stay count as the process's memory, and a large data set is larger than that may be.
"""

import io
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

BLOCK_BYTES = 2**24


class GrowingArray:
    """Rows of one kind, appended in pieces to a file."""

    def __init__(self, file: BinaryIO, first: np.ndarray) -> None:
        self._file, self._dtype, self._row_shape = file, first.dtype, first.shape[1:]
        self._map: mmap.mmap | None = None
        self._num_rows = 0

    def append(self, array: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(array).data)
        self._num_rows += len(array)

    def array(self) -> np.ndarray:
        """All rows, mapped read-only; nothing may be appended any more."""
        if self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, self._dtype).reshape(self._num_rows, *self._row_shape)

    def release_pages(self) -> None:
        """Gives the map's pages back; they are read anew when they are asked for again."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class PageReleasingFile(io.RawIOBase):
    """A file for writing what spools hold: pieces in, and their pages out of memory."""

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
