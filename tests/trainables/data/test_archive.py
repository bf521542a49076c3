"""Malicious and damaged archives: names that lead out, links, devices, bombs, truncated files."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from trainables.data.sources import archive as archive_module
from trainables.data.sources.archive import Layout
from trainables.errors import DataError

LAYOUT = Layout("things.tar.gz", "things", ("first", "second"))


def pack(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for member, content in members:
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


def file(name: str, content: bytes = b"content") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


GOOD = [file("things/first"), file("things/second", b"more")]


def test_only_what_is_needed_is_written(tmp_path: Path) -> None:
    members = [file("things/other"), file("elsewhere/first"), *GOOD]
    folder = LAYOUT.unpacked(pack(tmp_path / "a.tar.gz", members), tmp_path / "scratch")
    assert folder == tmp_path / "scratch/things"
    assert sorted(path.relative_to(tmp_path / "scratch").as_posix() for path in folder.rglob("*")) == [
        "things/first",
        "things/second",
    ]
    assert (folder / "second").read_bytes() == b"more"


def test_subfolder_is_taken_whole_and_leading_dots_are_passed(tmp_path: Path) -> None:
    members = [file("./things/first"), file("./things/second"), file("./things/images/a/b.jpg")]
    layout = LAYOUT._replace(subfolder="images")
    folder = layout.unpacked(pack(tmp_path / "a.tar.gz", members), tmp_path / "scratch")
    assert (folder / "images/a/b.jpg").is_file()


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (file("../outside"), "leads out of the archive"),
        (file("things/../../outside"), "leads out of the archive"),
        (file("/outside"), "leads out of the archive"),
        (link("things/first", "/etc/hostname"), "is a link or a device"),
        (link("things/images", "/"), "is a link or a device"),
        (link("things/first", "../outside", tarfile.LNKTYPE), "is a link or a device"),
        (link("things/first", "", tarfile.FIFOTYPE), "is a link or a device"),
    ],
)
def test_member_that_leads_elsewhere_is_refused(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes], message: str
) -> None:
    path = pack(tmp_path / "a.tar.gz", [member, *GOOD])
    with pytest.raises(DataError, match=rf"a\.tar\.gz: member .*{message}"):
        LAYOUT.unpacked(path, tmp_path / "scratch")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar.gz"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tar\.gz holds no things/second. Fetch things\.tar\.gz again"):
        LAYOUT.unpacked(pack(tmp_path / "a.tar.gz", GOOD[:1]), tmp_path / "scratch")


@pytest.mark.parametrize("keep", [0, 5, 0.5, 0.9])
def test_truncated_archive_is_named(tmp_path: Path, keep: float) -> None:
    content = bytes(range(256)) * 400
    path = pack(tmp_path / "a.tar.gz", [file("things/first", content), file("things/second", content[::-1])])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    with pytest.raises(DataError, match=r"a\.tar\.gz (cannot be unpacked|holds no)"):
        LAYOUT.unpacked(path, tmp_path / "scratch")


def test_bomb_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1000)
    path = pack(tmp_path / "a.tar.gz", [file("things/first"), file("things/second", b"\0" * 2000)])
    with pytest.raises(DataError, match="unpacks to more than 1,000 bytes"):
        LAYOUT.unpacked(path, tmp_path / "scratch")
    assert not (tmp_path / "scratch/things/second").exists()


def test_what_is_only_passed_over_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1000)
    path = pack(tmp_path / "a.tar.gz", [file("elsewhere", b"\0" * 2000), *GOOD])
    with pytest.raises(DataError, match="unpacks to more than 1,000 bytes"):
        LAYOUT.unpacked(path, tmp_path / "scratch")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, 8 * 2**30
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as out:
        out.write(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2**20)
    with pytest.raises(DataError, match=r"a\.tar\.gz cannot be unpacked: .*claim 8,589,934,592 bytes"):
        LAYOUT.unpacked(path, tmp_path / "scratch")


def test_long_names_within_reason_are_read(tmp_path: Path) -> None:
    layout = LAYOUT._replace(subfolder="images")
    long = f"things/images/{'a' * 120}/{'b' * 120}.jpg"
    folder = layout.unpacked(pack(tmp_path / "a.tar.gz", [*GOOD, file(long)]), tmp_path / "scratch")
    assert (folder.parent / long).is_file()
