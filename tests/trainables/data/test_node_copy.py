"""One undamaged copy of the data per node, for any number of workers at once."""

import fcntl
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_trial import tiny_trial
from trainables.data import node_copy
from trainables.data.arrow_store import META_FILE, Split, open_store, store_folder
from trainables.data.node_copy import UNUSED_S, copy_to_node
from trainables.data.put_in_place import put_in_place
from trainables.data.sources.image_source import ImageSource
from trainables.data.writer import Findings, write_store
from trainables.evaluation.final_score import occluder_store, stores_needed
from trainables.runtime.progress import work_done

WANTED = [("cluttered-digits", 16)]


@pytest.fixture
def data_root(digits_root: Path, tmp_path: Path) -> Path:
    """A data root that only this test uses, and may damage."""
    shutil.copytree(digits_root / "cluttered-digits-16", tmp_path / "shared" / "cluttered-digits-16")
    return tmp_path / "shared"


def files_of(folder: Path) -> dict[str, int]:
    """Every data file below a folder with its inode."""
    return {path.name: path.stat().st_ino for path in sorted(folder.rglob("*")) if path.suffix in (".arrow", ".json")}


def test_a_copy_is_the_data_set_it_was_made_from(data_root: Path, tmp_path: Path) -> None:
    near = copy_to_node(data_root, tmp_path / "cache", WANTED)
    assert near.is_relative_to(tmp_path / "cache")
    ours, theirs = open_store(near, *WANTED[0], verify=True), open_store(data_root, *WANTED[0])
    assert (ours.digest, ours.class_names) == (theirs.digest, theirs.class_names)
    assert np.array_equal(ours.splits["test"].images_NHWC, theirs.splits["test"].images_NHWC)
    assert not list(near.glob(".preparing-*"))


def test_a_copy_that_takes_long_is_seen_to_go_on(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_copy, "_PIECE_BYTES", 4096)
    size = sum(path.stat().st_size for path in data_root.rglob("*.arrow"))
    before = work_done()
    copy_to_node(data_root, tmp_path / "cache", WANTED)
    assert work_done() - before > size // 4096


def test_whoever_waits_for_anothers_copy_is_seen_to_go_on(data_root: Path, tmp_path: Path) -> None:
    near = copy_to_node(data_root, tmp_path / "cache", WANTED)
    (lock,) = near.glob(".*.lock")
    with ThreadPoolExecutor() as beside, lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = work_done()
        waiting = beside.submit(copy_to_node, data_root, tmp_path / "cache", WANTED)
        deadline_s = time.monotonic() + 10
        while work_done() < before + 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert not waiting.done()
        fcntl.flock(other, fcntl.LOCK_UN)
        assert waiting.result(10) == near


def test_a_second_call_copies_nothing(data_root: Path, tmp_path: Path) -> None:
    first = files_of(copy_to_node(data_root, tmp_path / "cache", WANTED))
    assert files_of(copy_to_node(data_root, tmp_path / "cache", WANTED)) == first


def _copy_and_count(data_root: Path, cache: Path, started: "multiprocessing.Barrier", copies: Path) -> None:  # type: ignore[valid-type]
    copy = node_copy._copy_file

    def counted(source: Path, target: Path) -> None:
        (copies / f"{os.getpid()}-{source.name}").touch()
        time.sleep(0.2)
        copy(source, target)

    node_copy._copy_file = counted
    started.wait(60)  # type: ignore[attr-defined]
    open_store(copy_to_node(data_root, cache, WANTED), *WANTED[0], verify=True)


def test_workers_that_start_at_once_make_one_copy(data_root: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started, copies = context.Barrier(4), tmp_path / "copies"
    copies.mkdir()
    workers = [
        context.Process(target=_copy_and_count, args=(data_root, tmp_path / "cache", started, copies)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list(copies.iterdir())) == 2, "train and test were each copied once"


@pytest.mark.parametrize("damage", ["truncated", "no meta", "other bytes under way"])
def test_a_copy_that_is_damaged_is_made_again(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    near = copy_to_node(data_root, tmp_path / "cache", WANTED)
    folder = store_folder(near, *WANTED[0])
    if damage == "truncated":
        test = next(folder.glob("test-*.arrow"))
        test.write_bytes(test.read_bytes()[:-8])
    elif damage == "no meta":
        (folder / META_FILE).unlink()
    else:
        shutil.rmtree(folder)
        copy = node_copy._copy_file

        def flip(source: Path, target: Path) -> None:
            copy(source, target)
            content = bytearray(target.read_bytes())
            content[len(content) // 2] ^= 1
            target.write_bytes(content)

        with monkeypatch.context() as patched:
            patched.setattr(node_copy, "_copy_file", flip)
            assert copy_to_node(data_root, tmp_path / "cache", WANTED) == data_root, (
                "the root itself is read if the copy fails"
            )
        assert not folder.exists()
    open_store(copy_to_node(data_root, tmp_path / "cache", WANTED), *WANTED[0], verify=True)


def test_data_prepared_anew_replaces_the_copy(data_root: Path, tmp_path: Path) -> None:
    near = copy_to_node(data_root, tmp_path / "cache", WANTED)
    before = open_store(near, *WANTED[0])
    images = Split(np.full((4, 16, 16, 3), 7, np.uint8), np.arange(4) % 2)
    fewer = ImageSource(("a", "b"), "made here", {"train": 4, "test": 4}, lambda split: iter([images]))
    made = tmp_path / "made"
    made.mkdir()
    put_in_place(
        made,
        write_store(made, *WANTED[0], fewer, lambda count: None, Findings((), tuple)),
        store_folder(data_root, *WANTED[0]),
    )
    after = open_store(copy_to_node(data_root, tmp_path / "cache", WANTED), *WANTED[0], verify=True)
    assert (after.source, after.class_names) == ("made here", ("a", "b"))
    assert len(list(store_folder(near, *WANTED[0]).glob("*.arrow"))) == 2, "the old version's files are gone"
    assert before.splits["train"].images_NHWC.any(), "a process that has the old version mapped keeps it"


def test_what_is_not_prepared_is_left_for_the_trial_to_say(data_root: Path, tmp_path: Path) -> None:
    copy_to_node(data_root, tmp_path / "cache", WANTED)
    shutil.rmtree(store_folder(data_root, *WANTED[0]))
    near = copy_to_node(data_root, tmp_path / "cache", WANTED)
    assert not store_folder(near, *WANTED[0]).exists()


def test_a_node_without_room_reads_the_root(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where the cache should be")
    assert copy_to_node(data_root, tmp_path / "full", WANTED) == data_root


def test_copies_that_nobody_uses_make_room(data_root: Path, tmp_path: Path) -> None:
    old = store_folder(copy_to_node(data_root, tmp_path / "cache", WANTED), *WANTED[0])
    stale = time.time() - UNUSED_S - 1
    os.utime(old / META_FILE, (stale, stale))
    other = tmp_path / "other"
    shutil.copytree(data_root, other)
    copy_to_node(other, tmp_path / "cache", WANTED)
    assert not old.exists()


def test_a_trial_finds_near_what_it_would_find_far(data_root: Path, tmp_path: Path) -> None:
    config = tiny_trial()
    needed = stores_needed(config, data_root)
    assert needed == WANTED
    near = copy_to_node(data_root, tmp_path / "cache", needed)
    assert occluder_store(config, near).digest == occluder_store(config, data_root).digest
    assert stores_needed(tiny_trial(model="vgg", data__name="cifar10"), data_root) == [("cifar10", 16), ("stl10", 16)]
