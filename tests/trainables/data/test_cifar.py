"""The official batches: Python 2 pickles, checked by digest, read without running anything."""

import hashlib
import io
import itertools
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.trainables.data.images import real_data
from trainables.data.prepare import prepare
from trainables.data.sources.cifar import BATCHES, OFFICIAL_MD5, cifar10_source, find_cifar10
from trainables.data.sources.parquet import decode_image
from trainables.errors import DataError

NUM = 4


def python2_batch(
    data: np.ndarray, labels: list[int], title: bytes = b"a batch", names: list[str] | None = None
) -> bytes:
    """A batch byte for byte as Python 2's cPickle wrote the official ones: protocol 2, byte strings, memo marks."""
    marks = itertools.count(1)

    def mark() -> bytes:
        number = next(marks)
        return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def text(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content + mark()

    def items(encoded: list[bytes]) -> bytes:
        return b"".join(b"(" + b"".join(encoded[i : i + 1000]) + b"e" for i in range(0, len(encoded), 1000))

    out = io.BytesIO()
    out.write(b"\x80\x02}" + mark() + b"(" + text(b"batch_label") + text(title))
    out.write(text(b"labels") + b"]" + mark() + items([b"K" + bytes([label]) for label in labels]) + text(b"data"))
    out.write(b"cnumpy.core.multiarray\n_reconstruct\n" + mark() + b"cnumpy\nndarray\n" + mark())
    out.write(b"K\x00\x85U\x01b\x87R" + mark())
    out.write(b"(K\x01M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"\x86")
    out.write(b"cnumpy\ndtype\n" + mark() + b"U\x02u1K\x00K\x01\x87R" + mark())
    out.write(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    out.write(b"T" + struct.pack("<I", data.nbytes) + data.tobytes() + b"tb")
    out.write(text(b"filenames") + b"]" + mark() + items([text(name.encode()) for name in names or []]) + b"u.")
    return out.getvalue()


def make_folder(root: Path) -> tuple[Path, dict[str, str], dict[str, tuple[np.ndarray, list[int]]]]:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    digests, truth = {}, {}
    rng = np.random.default_rng(0)
    for batch in (*BATCHES["train"], *BATCHES["test"]):
        data, labels = rng.integers(0, 256, (NUM, 3072), dtype=np.uint8), rng.integers(0, 10, NUM).tolist()
        content = python2_batch(data, labels)
        (folder / batch).write_bytes(content)
        digests[batch], truth[batch] = hashlib.md5(content).hexdigest(), (data, labels)
    return folder, digests, truth


@pytest.mark.parametrize("archived", [False, True])
def test_batches_are_read_in_order_with_channels_last(tmp_path: Path, archived: bool) -> None:
    folder, digests, truth = make_folder(tmp_path)
    path = folder
    if archived:
        path = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
    pieces = list(cifar10_source(path, 32, digests, NUM).chunks("train"))
    assert len(pieces) == 5
    for piece, (data, labels) in zip(pieces, truth.values(), strict=False):
        assert piece.labels_N.tolist() == labels
        assert np.array_equal(piece.images_NHWC[1, :, :, 2], data[1, 2048:].reshape(32, 32))


def test_batches_are_resized_on_demand(tmp_path: Path) -> None:
    folder, digests, _ = make_folder(tmp_path)
    assert next(cifar10_source(folder, 16, digests, NUM).chunks("test")).images_NHWC.shape == (NUM, 16, 16, 3)


def test_folder_above_folder_itself_and_archive_are_found(tmp_path: Path) -> None:
    folder, _, _ = make_folder(tmp_path)
    assert find_cifar10(tmp_path) == find_cifar10(folder) == folder
    archive = tmp_path / "downloads/cifar-10-python.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"")
    assert find_cifar10(archive) == find_cifar10(archive.parent) == archive
    assert find_cifar10(tmp_path / "absent") is None


def test_other_bytes_than_the_published_are_refused(tmp_path: Path) -> None:
    folder, _, _ = make_folder(tmp_path)
    with pytest.raises(DataError, match=rf"data_batch_1 has MD5 .*published is {OFFICIAL_MD5['data_batch_1']}"):
        prepare("cifar10", tmp_path / "data", 32, tmp_path)
    assert list((tmp_path / "data").iterdir()) == []
    assert folder.is_dir()


class Hostile:
    """Unpickled without care, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return eval, (f"open({str(self.path)!r}, 'w').write('ran')",)


def with_batch(tmp_path: Path, content: bytes) -> list[object]:
    folder, digests, _ = make_folder(tmp_path)
    (folder / "test_batch").write_bytes(content)
    digests["test_batch"] = hashlib.md5(content).hexdigest()
    return list(cifar10_source(folder, 32, digests, NUM).chunks("test"))


def test_pickle_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test_batch is not a CIFAR-10 batch: it asks for __builtin__\.eval"):
        with_batch(tmp_path, pickle.dumps({"data": Hostile(tmp_path / "ran"), "labels": []}, 2))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "test_batch is not a CIFAR-10 batch"),
        (pickle.dumps([1, 2]), "test_batch is not a CIFAR-10 batch"),
        (python2_batch(np.zeros((NUM, 3000), np.uint8), [0] * NUM), r"not uint8 of shape \(4, 3072\)"),
        (python2_batch(np.zeros((NUM, 3072), np.uint8), [0] * 3), "not 4 whole numbers from 0 to 9"),
        (python2_batch(np.zeros((NUM, 3072), np.uint8), [0, 1, 2, 10]), "not 4 whole numbers from 0 to 9"),
    ],
)
def test_batch_of_another_form_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_batch(tmp_path, content)


def test_missing_batch_and_broken_archive_are_named(tmp_path: Path) -> None:
    folder, digests, _ = make_folder(tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"data_batch_3 is missing"):
        list(cifar10_source(folder, 32, digests, NUM).chunks("train"))
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(b"\x1f\x8b not gzip")
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: data_batch_1 cannot be read"):
        list(cifar10_source(archive, 32, digests, NUM).chunks("train"))


def test_failed_download_says_how_to_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(DataError, match=r"could not download CIFAR-10.*aib data prepare cifar10 --from PATH"):
        prepare("cifar10", tmp_path / "data", 32)
    assert not (tmp_path / "data").exists()


def test_real_images_as_official_batch_pass_the_published_digest(tmp_path: Path) -> None:
    """The official test batch, rebuilt byte by byte from Parquet, passes the default check and reads back."""
    table = pq.read_table(real_data("cifar10") / "test.parquet")
    images = np.stack([decode_image(record["bytes"], 32) for record in table.column("image").to_pylist()])
    names = [record["path"].rsplit("/")[-1] for record in table.column("image").to_pylist()]
    labels = table.column("label").to_pylist()
    data = images.transpose(0, 3, 1, 2).reshape(len(images), 3072)
    (tmp_path / "test_batch").write_bytes(python2_batch(data, labels, b"testing batch 1 of 1", names))
    (piece,) = cifar10_source(tmp_path, 32).chunks("test")
    assert np.array_equal(piece.images_NHWC, images)
    assert piece.labels_N.tolist() == labels
