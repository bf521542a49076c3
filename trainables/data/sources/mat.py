"""Reads MATLAB's level 5 .mat files in pieces; scipy loads a variable whole, and SVHN's `extra` is 1.6 GB.

The format: 128 bytes of header, then elements of a tag (type, bytes) and a body. A variable is a matrix element, alone
or inside a zlib-compressed element. It consists of elements: flags, shape, name, values in column-major order.
Source: MathWorks, MAT-File Format (version 5).
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX_FLAG = 0x08
_MAX_HEAD_BYTES = 4096
_BLOCK_BYTES = 2**18

DAMAGED = (ValueError, EOFError, OSError, struct.error, zlib.error)
"""Exceptions that reading a damaged file raises."""


class Variable(NamedTuple):
    """A numeric array in a file."""

    path: Path
    element: "_Element"
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    """Type of the stored values; may be narrower than the variable's class."""

    def pieces(self, num_values: int) -> Iterator[np.ndarray]:
        """The values as flat arrays of at most `num_values`, in column-major order.

        Raises one of DAMAGED for a damaged file, also after the last piece, because the checksum comes last.
        """
        left = math.prod(self.shape)
        with self.path.open("rb") as file:
            body = self.element.body(file)
            inline = _read_head(body, self.element.order).inline
            while left:
                count = min(left, num_values)
                content = body.read(count * self.dtype.itemsize) if inline is None else inline
                yield np.frombuffer(content, self.dtype, count)
                left -= count
            body.finish()


def read_variables(path: Path) -> dict[str, Variable]:
    """The numeric arrays of a file, by name, without their values; raises one of DAMAGED for any other file."""
    found = {}
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        header = _exactly(file, 128)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None or struct.unpack(f"{order}H", header[124:126]) != (0x0100,):
            raise ValueError("it has no header of a level 5 .mat file")
        start = 128
        while start < end:
            file.seek(start)
            kind, num_bytes = struct.unpack(f"{order}II", _exactly(file, 8))
            element = _Element(start + 8, num_bytes, kind == _COMPRESSED, order)
            start = element.start + num_bytes
            if start > end:
                raise EOFError(f"it ends {start - end:,} bytes early")
            if kind in (_MATRIX, _COMPRESSED):
                head = _read_head(element.body(file), order)
                if head.dtype is not None:
                    found[head.name] = Variable(path, element, head.name, head.shape, head.dtype)
    return found


class _Body(Protocol):
    """The bytes inside a matrix element."""

    def read(self, count: int) -> bytes:
        """Exactly `count` further bytes; EOFError if there are fewer."""
        ...

    def finish(self) -> None:
        """Called after the last value."""
        ...


class _Element(NamedTuple):
    start: int
    num_bytes: int
    compressed: bool
    order: str
    """'<' or '>', as struct and numpy write it."""

    def body(self, file: BinaryIO) -> _Body:
        file.seek(self.start)
        if not self.compressed:
            return _Plain(file)
        body = _Inflated(file, self.num_bytes)
        kind, _ = struct.unpack(f"{self.order}II", body.read(8))
        if kind != _MATRIX:
            raise ValueError(f"a compressed element holds type {kind}, not a matrix")
        return body


class _Plain:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        return _exactly(self._file, count)

    def finish(self) -> None:
        """Does nothing: an uncompressed element has no checksum."""


class _Inflated:
    """A zlib stream of known length in a file, decompressed only as far as it is read."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file, self._left, self._zlib = file, num_bytes, zlib.decompressobj()

    def read(self, count: int) -> bytes:
        out = bytearray()
        while len(out) < count:
            if self._zlib.eof:
                raise EOFError(f"a variable ends {count - len(out):,} bytes early")
            out += self._some(count - len(out))
        return bytes(out)

    def finish(self) -> None:
        """Skips the padding and lets zlib check the checksum, which follows it."""
        padding = 0
        while not self._zlib.eof:
            padding += len(self._some(8))
            if padding > 7:
                raise ValueError("a variable is longer than its shape says")

    def _some(self, limit: int) -> bytes:
        given = self._zlib.unconsumed_tail
        if not given:
            given = _exactly(self._file, min(self._left, _BLOCK_BYTES))
            self._left -= len(given)
        block = self._zlib.decompress(given, limit)
        if not block and not given and not self._zlib.eof:
            raise EOFError("a compressed variable ends early")
        return block


class _Head(NamedTuple):
    """The description before a matrix's values."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype | None
    """None: the values are not plain numbers."""
    inline: bytes | None
    """Up to four bytes of values, which the format stores inside the tag."""


def _read_head(body: _Body, order: str) -> _Head:
    word = struct.unpack(f"{order}I", _element(body, order)[:4])[0]
    if word & 0xFF not in _NUMERIC_CLASSES or word >> 8 & _COMPLEX_FLAG:
        return _Head("", (), None, None)
    shape = tuple(int(side) for side in np.frombuffer(_element(body, order), f"{order}i4"))
    name = _element(body, order).decode("latin1")
    kind, num_bytes, inline = _tag(body, order)
    if kind not in _STORED:
        raise ValueError(f"variable '{name}' is stored as type {kind}, which holds no numbers")
    dtype = np.dtype(order + _STORED[kind])
    if min(shape, default=0) < 0 or num_bytes != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"variable '{name}' of shape {shape} claims {num_bytes:,} bytes")
    return _Head(name, shape, dtype, inline)


def _element(body: _Body, order: str) -> bytes:
    """A small element's content; skips its padding to eight bytes."""
    _, num_bytes, inline = _tag(body, order)
    if inline is not None:
        return inline
    if num_bytes > _MAX_HEAD_BYTES:
        raise ValueError(f"a variable's head claims {num_bytes:,} bytes")
    return body.read(-(-num_bytes // 8) * 8)[:num_bytes]


def _tag(body: _Body, order: str) -> tuple[int, int, bytes | None]:
    """Type, number of bytes, and the bytes themselves if they are inside the tag."""
    tag = body.read(8)
    kind, num_bytes = struct.unpack(f"{order}II", tag)
    if kind >> 16:
        if kind >> 16 > 4:
            raise ValueError(f"a tag claims {kind >> 16} bytes of its own")
        return kind & 0xFFFF, kind >> 16, tag[4 : 4 + (kind >> 16)]
    return kind, num_bytes, None


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise EOFError(f"it ends {count - len(content):,} bytes early")
    return content
