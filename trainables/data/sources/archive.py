"""Finds official archives and unpacks them file by file, without trusting the members' names and sizes."""

import shutil
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trainables.errors import DataError

MAX_UNPACKED_BYTES = 4 * 2**30
"""No official archive unpacks to more; stops an archive bomb."""
_MAX_HEADER_BYTES = 2**16
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_DAMAGED = (OSError, EOFError, tarfile.TarError, zlib.error)


class Layout(NamedTuple):
    """A data set's official archive, and the folder that it unpacks to."""

    archive: str
    folder: str
    files: tuple[str, ...]
    """Needed files, relative to the folder; the first one identifies the folder."""
    subfolder: str | None = None
    """A sub-folder that is needed with all its content."""

    @property
    def advice(self) -> str:
        return f"Fetch {self.archive} again."

    def find(self, path: Path) -> Path | None:
        """Finds the folder or the archive at `path`, or in the folder `path`; None if neither is there."""
        for place in (path / self.folder, path, path / self.archive):
            if (place / self.files[0]).is_file() or (place.is_file() and place.name.endswith((".tar.gz", ".tgz"))):
                return place
        return None

    def unpacked(self, place: Path, scratch: Path) -> Path:
        """The folder at a found place; unpacks an archive into `scratch` first.

        Raises DataError for a damaged archive, and for one with links or with names that lead out of it.
        """
        if place.is_dir():
            return place
        try:
            with tarfile.open(place, "r|gz", tarinfo=_Member) as archive:
                self._write(place, archive, scratch)
        except _DAMAGED as error:
            raise DataError(f"{place} cannot be unpacked: {error}. {self.advice}") from error
        for file in self.files:
            if not (scratch / self.folder / file).is_file():
                raise DataError(f"{place} holds no {self.folder}/{file}. {self.advice}")
        return scratch / self.folder

    def _write(self, place: Path, archive: tarfile.TarFile, scratch: Path) -> None:
        missing = set(self.files)
        left = MAX_UNPACKED_BYTES
        for member, inside in _members(place, archive):
            # Unneeded members count too, because they are decompressed as well.
            left -= member.size
            if left < 0:
                raise DataError(f"{place} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes. {self.advice}")
            name = inside.relative_to(self.folder).as_posix() if inside.parts[:1] == (self.folder,) else ""
            if not member.isfile() or not self._needed(name, missing):
                continue
            content = archive.extractfile(member)
            assert content is not None
            target = scratch / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("xb") as out:
                shutil.copyfileobj(content, out, 2**20)
            missing.discard(name)
            # Members after the last needed file can be gigabytes.
            if not missing and self.subfolder is None:
                return

    def _needed(self, name: str, missing: Collection[str]) -> bool:
        return name in missing or (self.subfolder is not None and name.startswith(f"{self.subfolder}/"))


class _Member(tarfile.TarInfo):
    """Refuses names and attributes above `_MAX_HEADER_BYTES`, because tarfile reads them into memory whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a member's name or attributes claim {self.size:,} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # for subclasses, says its source
        return member


def _members(place: Path, archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    for member in archive:
        inside = PurePosixPath(member.name)
        if inside.is_absolute() or ".." in inside.parts or "\\" in member.name:
            raise DataError(f"{place}: member {member.name!r} leads out of the archive; the archive is not used.")
        if not (member.isfile() or member.isdir()):
            raise DataError(f"{place}: member {member.name!r} is a link or a device; no official archive holds one.")
        yield member, inside
