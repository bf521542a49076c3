"""The process's standard streams: closed, full, or left by their reader, they neither crash the program nor end a run.

A closed stream counts as /dev/null. Text for a stderr that cannot be written is dropped: a search must not end because
its log has no room. For stdout, the first failure is one clear error; later text is dropped.
"""

import io
import os
import sys
from typing import Any, TextIO

from trainables.errors import AIBError


class OutputLostError(AIBError):
    """Standard output cannot be written."""


class ReaderGoneError(Exception):
    """The reader of standard output, such as `head`, has exited."""


class _Output(io.FileIO):
    """A file descriptor whose first failed write raises ReaderGoneError or OutputLostError, and later ones pass."""

    _failed = False

    def write(self, data: Any) -> int:
        if not self._failed:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._failed = True
                raise ReaderGoneError from None
            except OSError as error:
                self._failed = True
                raise OutputLostError(
                    f"standard output cannot be written ({error.strerror}), so the answer is lost; what was done and "
                    "stored is intact. Send the output to another place."
                ) from None
        return len(data)


class _Notes(io.FileIO):
    """A file descriptor that drops what it cannot write."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def open_closed_streams() -> None:
    """Opens /dev/null as each of stdin, stdout and stderr that is closed; otherwise the next file that is opened, such
    as a database, would become the program's output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one.
            os.open(os.devnull, os.O_RDWR)


def guard_streams() -> None:
    """Replaces Python's own stdout and stderr by streams as described above; leaves those that a caller put there."""
    open_closed_streams()
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = sys.__stdout__ = guarded_output(1)  # type: ignore[misc,assignment]  # it is the real one now
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        errors = _text(_Notes(2, "w", closefd=False), sys.stderr)
        sys.stderr = sys.__stderr__ = errors  # type: ignore[misc,assignment]


def guarded_output(descriptor: int) -> TextIO:
    """A text stream for standard output at another descriptor, which stays open when the stream is closed."""
    return _text(_Output(descriptor, "w", closefd=False), sys.stdout)


def _text(raw: io.FileIO, former: TextIO | None) -> TextIO:
    encoding = getattr(former, "encoding", None) or "utf-8"
    # A character that the terminal's encoding lacks is shown as an escape.
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=raw.isatty() or raw.fileno() == 2
    )
