"""One contract for folder and object store: a checkpoint is whole or is skipped, after any interruption."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.support.free_port import free_port
from tests.support.full_disk import KINDS, small_disk
from tests.support.repository import ROOT
from tests.support.s3_server import s3_server
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.checkpoint import MANIFEST, read_state, read_tensors, write_checkpoint
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.checkpoints.folder_store import FolderStore
from trainables.checkpoints.object_store import ObjectStore
from trainables.errors import CheckpointError, ConfigError, StorageError
from trainables.runtime.node_cache import CACHE_VARIABLE, node_cache


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found.uri


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "trial")
    return ObjectStore(Bucket.from_uri(request.getfixturevalue("uri")), tmp_path.name)


def writer(epoch: int, size: int = 4) -> Callable[[Path], Path]:
    tensors = {"model": {"w": torch.full((size,), float(epoch))}}
    return lambda folder: write_checkpoint(folder, tensors, {"epoch": epoch})


def newest_epoch(store: CheckpointStore) -> int | None:
    with store.newest() as folder:
        return None if folder is None else int(read_state(folder)["epoch"])


def test_what_is_saved_is_read_back_by_name_and_as_the_newest(store: CheckpointStore) -> None:
    assert newest_epoch(store) is None
    for epoch in (1, 2):
        store.save(epoch, writer(epoch))
    with store.newest() as folder:
        assert folder is not None
        assert folder.name.startswith("epoch_000002")
        with store.named(folder.name) as other:
            assert read_state(other) == {"epoch": 2}
            assert torch.equal(read_tensors(other, "model")["w"], torch.full((4,), 2.0))


def test_the_same_epoch_saved_again_replaces_the_first(store: CheckpointStore) -> None:
    for size in (4, 5):
        store.save(3, writer(3, size))
        store.prune(keep=1)
    with store.newest() as folder:
        assert folder is not None
        assert len(read_tensors(folder, "model")["w"]) == 5


def test_pruning_keeps_the_newest_two(store: CheckpointStore) -> None:
    for epoch in range(1, 5):
        store.save(epoch, writer(epoch))
    store.prune()
    names = set()
    if isinstance(store, ObjectStore):
        names = {key.split("/")[0][:12] for key in store.bucket.list(store.prefix)}
    elif isinstance(store, FolderStore):
        names = {path.name for path in (store.folder / "checkpoints").iterdir()}
    assert names == {"epoch_000003", "epoch_000004"}


def test_a_step_within_an_epoch_is_newer_than_the_epoch_before_and_older_than_its_own(store: CheckpointStore) -> None:
    store.save(1, writer(1))
    store.save(1, writer(17), step=7)
    store.save(1, writer(112), step=12)
    assert newest_epoch(store) == 112
    store.prune()
    assert newest_epoch(store) == 112
    with store.newest() as folder:
        assert folder is not None
        with store.named(folder.name) as other:
            assert read_state(other) == {"epoch": 112}
    store.save(2, writer(2))
    assert newest_epoch(store) == 2


@pytest.mark.parametrize("damage", ["altered", "cut", "gone", "no manifest", "torn manifest"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(store: CheckpointStore, damage: str) -> None:
    for epoch in (1, 2):
        store.save(epoch, writer(epoch))
    with store.newest() as folder:
        assert folder is not None
        name = folder.name
    change(store, name, damage)
    assert newest_epoch(store) == 1
    with pytest.raises(CheckpointError), store.named(name):
        pass


def test_writers_that_fail_leave_nothing_that_is_read(store: CheckpointStore) -> None:
    store.save(1, writer(1))
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save(2, lambda folder: write_checkpoint(folder, {}, {"loss": float("nan")}))
    assert newest_epoch(store) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_costs_the_checkpoint_it_stops_and_no_other(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Both for the storage and for the node's cache, through which uploads go."""
    with small_disk(kind, tmp_path / "disk") as disk:
        monkeypatch.setenv(CACHE_VARIABLE, str(disk.path / "cache"))
        in_bucket = ObjectStore(Bucket.from_uri(request.getfixturevalue("uri")), tmp_path.name)
        for store in (FolderStore(disk.path / "trial"), in_bucket):
            store.save(1, writer(1, 2**16))
            with disk.full(), pytest.raises(StorageError, match=r"(No space left|File too large).*intact.*--resume"):
                store.save(2, writer(2, 2**16))
            assert newest_epoch(store) == 1
            assert not list(disk.path.rglob(".*")), "nothing half-written is left"
            store.save(2, writer(2, 2**16))
            assert newest_epoch(store) == 2


@pytest.mark.slow
def test_an_object_store_that_is_away_is_named(tmp_path: Path) -> None:
    bucket = Bucket.from_uri(f"s3://bucket/runs?scheme=http&endpoint_override=127.0.0.1%3A{free_port()}")
    with pytest.raises(StorageError, match=r"s3://bucket/runs.*cannot be written"):
        ObjectStore(bucket, "studies/s/trials/t").save(1, writer(1))


def test_a_checkpoint_in_a_store_that_went_away_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoints.bucket._ATTEMPTS", 1)
    with s3_server(tmp_path) as server:
        store = ObjectStore(Bucket.from_uri(server.uri), "away")
        store.save(1, writer(1))
        with store.newest() as folder:
            assert folder is not None
            name = folder.name
    with pytest.raises(StorageError, match=r"s3://aib/runs.*away, cannot be read.*--resume"), store.newest():
        pass
    with pytest.raises(StorageError, match="cannot be read"), store.named(name):
        pass


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_that_is_full_keeps_a_checkpoint_from_being_read_until_there_is_room(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    store = ObjectStore(Bucket.from_uri(uri), tmp_path.name)
    store.save(1, writer(1, 2**16))
    with small_disk(kind, tmp_path / "disk") as disk:
        monkeypatch.setenv(CACHE_VARIABLE, str(disk.path / "cache"))
        assert newest_epoch(store) == 1
        with disk.full(), pytest.raises(StorageError, match=r"cannot be read \((No space left|File too large)"):
            newest_epoch(store)
        assert newest_epoch(store) == 1


def test_what_a_reader_of_a_checkpoint_raises_is_its_own(store: CheckpointStore) -> None:
    store.save(1, writer(1))
    with pytest.raises(PermissionError), store.newest():
        raise PermissionError("the reader's")


KILLED_UPLOAD = """
import os, signal, sys
import pyarrow.fs
from pathlib import Path
from tests.trainables.checkpoints.test_folder_store import writer
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.object_store import ObjectStore

class Killed(Bucket):
    def put(self, file, key):
        if os.path.basename(key) == sys.argv[3]:
            with self._server().open_output_stream(f"{self.path}/{key}") as sink:
                sink.write(file.read_bytes()[: file.stat().st_size // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        super().put(file, key)

bucket = Bucket.from_uri(sys.argv[1])
ObjectStore(Killed(bucket.path, bucket.options), sys.argv[2]).save(2, writer(2, 8 * 2**20))
"""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.safetensors", MANIFEST])
def test_an_upload_killed_in_the_middle_is_never_read_and_is_cleared_away(
    uri: str, tmp_path: Path, cache: Path, file: str
) -> None:
    store = ObjectStore(Bucket.from_uri(uri), tmp_path.name)
    store.save(1, writer(1))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_UPLOAD, uri, tmp_path.name, file], cwd=ROOT, env={**os.environ}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert newest_epoch(store) == 1
    store.save(2, writer(2))
    store.prune()
    assert newest_epoch(store) == 2
    assert len({key.split("/")[0] for key in store.bucket.list(store.prefix)}) == 2
    assert list(cache.glob(".preparing-*")) == [], "the next writer removes the dead writer's folder"


@pytest.mark.server
def test_a_second_writer_of_the_same_epoch_mixes_nothing(uri: str, tmp_path: Path) -> None:
    ours = ObjectStore(Bucket.from_uri(uri), tmp_path.name)

    class Interleaved(Bucket):
        """Another writer writes the whole checkpoint after each file of this one."""

        def put(self, file: Path, key: str) -> None:
            super().put(file, key)
            ours.save(1, writer(1, 7))

    bucket = ours.bucket
    ObjectStore(Interleaved(bucket.path, bucket.options), tmp_path.name).save(1, writer(1, 4))
    with ours.newest() as folder:
        assert folder is not None
        assert len(read_tensors(folder, "model")["w"]) in (4, 7)


@pytest.mark.server
def test_a_store_pickles_without_its_connection_or_credentials(uri: str) -> None:
    import pickle

    store = ObjectStore(Bucket.from_uri(uri), "p")
    newest_epoch(store)
    sent = pickle.dumps(store)
    assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in sent
    assert pickle.loads(sent) == store


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://me:hunter22@bucket/runs", "holds credentials"),
        ("gs://bucket/runs", "allowed: s3://BUCKET"),
        ("s3://bucket/../other", "allowed: s3://BUCKET"),
        ("s3://bucket/runs?access_key=hunter22", "access_key in its query"),
        ("s3:///runs", "allowed: s3://BUCKET"),
    ],
)
def test_other_uris_are_refused_without_repeating_a_secret(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        Bucket.from_uri(uri)
    assert "hunter22" not in str(refused.value)


def test_the_environments_endpoint_becomes_part_of_the_uri() -> None:
    bucket = Bucket.from_uri("s3://bucket/runs/", {"AWS_ENDPOINT_URL": "http://objects.example:9000"})
    assert bucket.uri == "s3://bucket/runs?endpoint_override=objects.example%3A9000&scheme=http"
    assert Bucket.from_uri(bucket.uri, {"AWS_ENDPOINT_URL": "http://other:1"}) == bucket
    assert Bucket.from_uri("s3://bucket/runs", {}).uri == "s3://bucket/runs"


def test_a_cache_that_others_may_write_is_refused(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(ConfigError, match=CACHE_VARIABLE):
        node_cache()


def change(store: CheckpointStore, name: str, damage: str) -> None:
    """Damages a stored checkpoint directly, without the store."""
    file = "model.safetensors" if damage in ("altered", "cut", "gone") else MANIFEST
    if isinstance(store, FolderStore):
        path = store.folder / "checkpoints" / name / file
        content = damaged(path.read_bytes(), damage)
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        return
    assert isinstance(store, ObjectStore)
    key, server = f"{store.bucket.path}/{store.prefix}/{name}/{file}", store.bucket._server()
    content = damaged(server.open_input_stream(key).read(), damage)
    server.delete_file(key)
    if content is not None:
        with server.open_output_stream(key) as sink:
            sink.write(content)


def damaged(content: bytes, damage: str) -> bytes | None:
    match damage:
        case "altered":
            return content[:-1] + bytes([content[-1] ^ 1])
        case "cut" | "torn manifest":
            return content[: len(content) // 2]
        case _:
            return None


def test_a_rewritten_epoch_and_the_one_before_outlive_the_damaged_attempt(store: CheckpointStore) -> None:
    for epoch in (1, 2):
        store.save(epoch, writer(epoch))
    with store.newest() as folder:
        assert folder is not None
        change(store, folder.name, "altered")
    store.save(2, writer(2, 5))
    store.prune()
    with store.newest() as folder:
        assert folder is not None
        assert len(read_tensors(folder, "model")["w"]) == 5
        change(store, folder.name, "altered")
    assert newest_epoch(store) == 1


def test_numbers_of_seven_digits_are_read_listed_and_pruned(store: CheckpointStore) -> None:
    store.save(1, writer(7), step=999_999)
    store.save(1, writer(8), step=1_000_000)
    store.save(1, writer(9), step=1_000_000)
    assert newest_epoch(store) == 9
    assert [one.name.split(".")[0] for one in store.listed()] == [
        "epoch_000001_step_1000000",
        "epoch_000001_step_1000000",
        "epoch_000001_step_999999",
    ]
    store.prune(keep=1)
    assert len(store.listed()) == 1
    store.save(1_000_000, writer(10))
    assert newest_epoch(store) == 10
