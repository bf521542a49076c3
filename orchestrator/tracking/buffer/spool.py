"""The spool: an ordered queue of JSON objects on disk that survives a kill of its process.

Its folder contains `NNNNNNNNNN.jsonl` segments (named by their first sequence number), `delivered` (the last sequence
number that arrived), `header.json` (see `header`), `rejected.jsonl`, `files/` and `lock`.

One unbuffered `write` per line hands the line to the operating system, so a SIGKILL loses nothing. A power cut may lose
the last seconds, because there is no fsync per line. The class is not thread-safe: its owner holds a lock.
"""

import json
import logging
import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import PreflightError
from orchestrator.tracking.buffer.payload import FILES, located, movable
from trainables.runtime.atomic_file import replace_file
from trainables.runtime.file_lock import take_lock

_LOG = logging.getLogger(__name__)
REJECTED = "rejected.jsonl"


class Entry(NamedTuple):
    """One object and its sequence number, counted from 1 over the life of the folder."""

    seq: int
    payload: dict[str, Any]


class Spool:
    """Opens or creates the folder for one process; raises PreflightError if another process has it open.

    Pending records are also held in memory, about 1 kB each: an outage of a thousand trial epochs takes 1 MB.
    """

    def __init__(self, folder: str | Path, segment_bytes: int = 1 << 20) -> None:
        self.folder = Path(folder)
        self._segment_bytes = segment_bytes
        self._segment: Any = None
        self._clean_end = False
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder / "lock")
        self._delivered = _read_number(self.folder / "delivered")
        self._last_seq = self._delivered
        self.pending: deque[Entry] = deque()
        """The objects that have not arrived yet, in order."""
        for _, entry in _read_segments(self.folder):
            self._last_seq = max(self._last_seq, entry.seq)
            if entry.seq > self._delivered:
                self.pending.append(entry)
        self._remove_delivered_segments()

    def append(self, payload: Mapping[str, Any]) -> Entry:
        """Adds an object at the end. On a full disk it stays pending in memory only, with a warning."""
        seq = self._last_seq = self._last_seq + 1
        line = json.dumps({"seq": seq, **movable(self.folder, payload)}, default=_plain, separators=(",", ":"))
        try:
            self._write(seq, line)
        except OSError as error:
            _LOG.warning("could not write to %s (%s); the record waits in memory only.", self.folder, error)
        entry = _entry(self.folder, line)
        self.pending.append(entry)
        return entry

    def mark_delivered(self, seq: int) -> None:
        """Marks everything up to `seq` as arrived or set aside; it is never read again."""
        while self.pending and self.pending[0].seq <= seq:
            self.pending.popleft()
        self._delivered = max(self._delivered, seq)
        _replace(self.folder / "delivered", str(self._delivered))
        if not self.pending:
            self._remove_delivered_segments()

    def set_aside(self, entry: Entry, reason: str) -> None:
        """Adds the object to `rejected.jsonl` with the reason; the caller marks it delivered."""
        record = movable(self.folder, entry.payload)
        line = json.dumps({"seq": entry.seq, "reason": reason, "record": record}, default=_plain)
        try:
            with open(self.folder / REJECTED, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            _LOG.warning("could not write to rejected.jsonl (%s): %s", error, line)

    @property
    def header(self) -> dict[str, Any] | None:
        """An object that outlives its delivery: a restarted process delivers it before the first pending one."""
        path = self.folder / "header.json"
        try:
            header: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            _LOG.warning("%s cannot be read (%s); this process opens the study's record itself.", path, error)
            return None
        return header

    @header.setter
    def header(self, payload: Mapping[str, Any]) -> None:
        _replace(self.folder / "header.json", json.dumps(payload, default=_plain))

    def keep_file(self, path: str | Path) -> Path:
        """Copies the file under its own name and returns the copy, which lives until `drop_file`; may raise OSError."""
        folder = self.folder / FILES / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            return Path(shutil.copyfile(path, folder / Path(path).name))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def drop_file(self, kept: str | Path) -> None:
        """Removes a copy made by `keep_file`; ignores any other path."""
        folder = Path(kept).parent
        if folder.parent == self.folder / FILES:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Lets another process open the folder. Pending objects stay on disk."""
        if self._lock.closed:
            return
        self._close_segment()
        if not self.pending:
            self._remove_delivered_segments()
        self._lock.close()

    def _write(self, seq: int, line: str) -> None:
        if self._segment is not None and self._segment.tell() >= self._segment_bytes:
            self._close_segment()
        if self._segment is None:
            self._segment = open(self.folder / f"{seq:010d}.jsonl", "ab", buffering=0)  # noqa: SIM115 (closed on rotation)
        # A process killed while it wrote its first line left half a line in a file of this name.
        torn = self._segment.tell() > 0 and not self._clean_end
        data = (("\n" if torn else "") + line + "\n").encode()
        self._clean_end = False
        if self._segment.write(data) != len(data):
            raise OSError("short write")
        self._clean_end = True

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _remove_delivered_segments(self) -> None:
        """Removes the segments before the first one with a pending object, except the one being written."""
        first_pending = self.pending[0].seq if self.pending else self._last_seq + 1
        segments = _segments(self.folder)
        ends = [*(int(path.stem) for path in segments[1:]), self._last_seq + 1]
        for path, end in zip(segments, ends, strict=False):
            if end <= first_pending and (self._segment is None or path.name != Path(self._segment.name).name):
                path.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Lists what no process will read in a spool that is not open.

    These are delivered segments, and copies of files that no record names.
    """
    delivered = _read_number(folder / "delivered")
    named: set[str] = set()
    segments = dict.fromkeys(_segments(folder), False)
    for segment, entry in _read_segments(folder):
        if entry.seq > delivered:
            segments[segment] = True
            named.add(str(entry.payload.get("local_path")))
    for refused in _read_rejected(folder):
        named.add(str(refused.get("local_path")))
    copies = [
        copy for copy in sorted((folder / FILES).glob("*")) if not any(str(file) in named for file in copy.glob("*"))
    ]
    return [*(path for path, needed in segments.items() if not needed), *copies, *sorted(folder.glob("*.new"))]


def _entry(folder: Path, line: str | bytes) -> Entry:
    """Raises ValueError, KeyError, TypeError or AttributeError for what is no line of a spool."""
    payload = json.loads(line)
    return Entry(int(payload.pop("seq")), located(folder, payload))


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdecimal() and path.is_file())


def _read_segments(folder: Path) -> Iterator[tuple[Path, Entry]]:
    """Reads every entry, with its segment."""
    for path in _segments(folder):
        for line in path.read_bytes().split(b"\n"):
            if not line:
                continue
            try:
                entry = _entry(folder, line)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                _LOG.warning("half a line in %s was skipped: its process died while writing it.", path)
                continue
            yield path, entry


def _read_rejected(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = (folder / REJECTED).read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            yield located(folder, dict(json.loads(line)["record"]))


def _locked(path: Path) -> Any:
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (held open: closing it releases the lock)
    try:
        take_lock(file.fileno())
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise PreflightError(
            f"{path.parent} is in use by another process (pid {owner}): this study is already running. "
            "Wait for it, stop it, or choose another --name."
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0  # unreadable after a power cut; delivering everything again is harmless


def _replace(path: Path, text: str) -> None:
    """Replaces the file atomically. A full disk leaves the old text and a warning."""
    try:
        replace_file(path, text, aside=path.with_name(path.name + ".new"))
    except OSError as error:
        _LOG.warning("could not write %s (%s); after a restart some records are delivered again.", path, error)


def _plain(value: Any) -> Any:
    """Converts for JSON: mappings to objects, array scalars to numbers, anything else to text."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.item() if hasattr(value, "item") else str(value)
