import shutil
from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import PreflightError
from orchestrator.tracking.buffer.spool import Spool, leftovers


def pending(spool: Spool) -> list[tuple[int, object]]:
    return [(entry.seq, entry.payload["x"]) for entry in spool.pending]


def test_spool_gives_back_in_order_what_a_lost_process_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for x in range(5):
        spool.append({"x": x})
    spool.mark_delivered(2)
    spool._lock.close()  # as the kernel does for a killed process
    assert pending(Spool(tmp_path)) == [(3, 2), (4, 3), (5, 4)]


def test_spool_counts_on_after_everything_was_delivered(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append({"x": "a"})
    first.mark_delivered(1)
    first.close()
    second = Spool(tmp_path)
    assert pending(second) == []
    assert second.append({"x": "b"}).seq == 2


@pytest.mark.parametrize("cut", [1, 5, 14])
def test_spool_skips_a_torn_last_line_and_keeps_what_follows(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path)
    spool.append({"x": "whole"})
    spool.append({"x": "torn"})
    spool._lock.close()
    (segment,) = tmp_path.glob("[0-9]*.jsonl")
    segment.write_bytes(segment.read_bytes()[:-cut])
    again = Spool(tmp_path)
    expected = [(1, "whole")] + ([(2, "torn")] if cut == 1 else [])
    assert pending(again) == expected
    new = again.append({"x": "next"})
    again._lock.close()
    assert pending(Spool(tmp_path)) == [*expected, (new.seq, "next")]


def test_spool_survives_a_process_that_died_in_the_first_line_of_a_segment(tmp_path: Path) -> None:
    (tmp_path / "0000000001.jsonl").write_bytes(b'{"seq":1,"x')
    spool = Spool(tmp_path)
    spool.append({"x": "next"})
    spool._lock.close()
    assert pending(Spool(tmp_path)) == [(1, "next")]


@pytest.mark.parametrize("absolute", [False, True], ids=["this version", "an earlier version"])
def test_spool_in_a_moved_folder_finds_the_copies_of_files(absolute: bool, tmp_path: Path) -> None:
    former, present, file = tmp_path / "former" / "spool", tmp_path / "present" / "spool", tmp_path / "figure.png"
    file.write_text("figure")
    spool = Spool(former)
    spool.append({"kind": "LogArtifact", "local_path": str(spool.keep_file(file))})
    spool._lock.close()
    (segment,) = former.glob("[0-9]*.jsonl")
    assert str(tmp_path) not in segment.read_text()
    if absolute:
        segment.write_text(segment.read_text().replace('"files/', f'"{former}/files/'))
    shutil.move(former.parent, present.parent)
    assert leftovers(present) == []
    again = Spool(present)
    (kept,) = (Path(str(entry.payload["local_path"])) for entry in again.pending)
    assert kept.is_relative_to(present)
    assert kept.read_text() == "figure"
    again.drop_file(kept)
    assert not list((present / "files").iterdir())


def test_spool_removes_segments_that_are_delivered(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100)
    for x in range(50):
        spool.append({"x": x})
    assert len(list(tmp_path.glob("[0-9]*.jsonl"))) > 5
    spool.mark_delivered(50)
    assert len(list(tmp_path.glob("[0-9]*.jsonl"))) <= 1
    spool.close()
    assert list(tmp_path.glob("[0-9]*.jsonl")) == []


def test_spool_keeps_segments_with_anything_pending(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100)
    for x in range(50):
        spool.append({"x": x})
    spool.mark_delivered(20)
    spool.close()
    assert [x for _, x in pending(Spool(tmp_path))] == list(range(20, 50))


def test_spool_refuses_a_second_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(PreflightError, match="in use by another process"):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path).close()


def test_spool_delivers_again_when_the_delivered_mark_is_unreadable(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append({"x": 0})
    spool.append({"x": 1})
    spool.mark_delivered(1)
    spool._lock.close()
    (tmp_path / "delivered").write_text("")
    assert pending(Spool(tmp_path)) == [(1, 0), (2, 1)]


def test_spool_stores_array_scalars_as_numbers(tmp_path: Path) -> None:
    entry = Spool(tmp_path).append({"x": np.float32(0.5), "n": np.int64(3), "path": Path("a/b")})
    assert entry.payload == {"x": 0.5, "n": 3, "path": "a/b"}


def test_spool_keeps_a_header_over_restarts(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.header is None
    spool.header = {"kind": "OpenStudy"}
    spool.close()
    assert Spool(tmp_path).header == {"kind": "OpenStudy"}


def test_spool_keeps_a_copy_of_a_file_and_removes_only_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    theirs = tmp_path / "map.png"
    theirs.write_bytes(b"png")
    kept = spool.keep_file(theirs)
    spool.drop_file(theirs)
    assert theirs.exists()
    theirs.unlink()
    assert kept.read_bytes() == b"png"
    assert kept.name == "map.png"
    spool.drop_file(kept)
    assert not kept.exists()


def test_spool_holds_a_record_in_memory_when_the_disk_is_full(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    import signal

    spool = Spool(tmp_path)
    spool.append({"x": 0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
    try:
        spool.append({"x": "y" * 100})
        spool.mark_delivered(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old_handler)
    spool.append({"x": 2})
    assert [x for _, x in pending(spool)] == ["y" * 100, 2]
    spool._lock.close()
    assert (3, 2) in pending(Spool(tmp_path))
