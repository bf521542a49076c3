"""CIFAR's official batches: Python 2 pickles, checked by digest, read without running code."""

import hashlib
import io
import itertools
import pickle
import struct
import tarfile
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.images import real_data, request
from trainables.data.prepare import prepare
from trainables.data.sources.cifar import CIFAR10, CIFAR100, Cifar
from trainables.data.sources.pixels import decode_image
from trainables.errors import DataError

NUM = 4


def python2_batch(
    data: np.ndarray,
    labels: list[int],
    title: bytes = b"a batch",
    names: list[str] | None = None,
    key: bytes = b"labels",
) -> bytes:
    """A batch with the same bytes as Python 2's cPickle writes: protocol 2, byte strings, memo marks."""
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
    out.write(text(key) + b"]" + mark() + items([b"K" + bytes([label]) for label in labels]) + text(b"data"))
    out.write(b"cnumpy.core.multiarray\n_reconstruct\n" + mark() + b"cnumpy\nndarray\n" + mark())
    out.write(b"K\x00\x85U\x01b\x87R" + mark())
    out.write(b"(K\x01M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"\x86")
    out.write(b"cnumpy\ndtype\n" + mark() + b"U\x02u1K\x00K\x01\x87R" + mark())
    out.write(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    out.write(b"T" + struct.pack("<I", data.nbytes) + data.tobytes() + b"tb")
    out.write(text(b"filenames") + b"]" + mark() + items([text(name.encode()) for name in names or []]) + b"u.")
    return out.getvalue()


def make_folder(root: Path) -> tuple[Path, Cifar, dict[str, tuple[np.ndarray, list[int]]]]:
    """A folder of small batches, the description of its files, and their content."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    digests, truth = {}, {}
    rng = np.random.default_rng(0)
    for batch in (*CIFAR10.batches["train"], *CIFAR10.batches["test"]):
        data, labels = rng.integers(0, 256, (NUM, 3072), dtype=np.uint8), rng.integers(0, 10, NUM).tolist()
        content = python2_batch(data, labels)
        (folder / batch).write_bytes(content)
        digests[batch], truth[batch] = hashlib.md5(content).hexdigest(), (data, labels)
    return folder, CIFAR10._replace(md5=digests, batch_images={"train": NUM, "test": NUM}), truth


@pytest.mark.parametrize("archived", [False, True])
def test_batches_are_read_in_order_with_channels_last(tmp_path: Path, archived: bool) -> None:
    folder, cifar, truth = make_folder(tmp_path)
    path = folder
    if archived:
        path = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
    source = cifar.source(path, request(tmp_path / "scratch"))
    assert source.num_images == {"train": 5 * NUM, "test": NUM}
    pieces = list(source.chunks("train"))
    assert len(pieces) == 5
    for piece, (data, labels) in zip(pieces, truth.values(), strict=False):
        assert piece.labels_N.tolist() == labels
        assert np.array_equal(piece.images_NHWC[1, :, :, 2], data[1, 2048:].reshape(32, 32))


def test_batches_are_resized_on_demand(tmp_path: Path) -> None:
    folder, cifar, truth = make_folder(tmp_path)
    (piece,) = cifar.source(folder, request(tmp_path, 16)).chunks("test")
    image = Image.fromarray(truth["test_batch"][0][3].reshape(3, 32, 32).transpose(1, 2, 0))
    assert np.array_equal(piece.images_NHWC[3], np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)))


def test_folder_above_folder_itself_and_archive_are_found(tmp_path: Path) -> None:
    folder, _, _ = make_folder(tmp_path)
    assert CIFAR10.find(tmp_path) == CIFAR10.find(folder) == folder
    archive = tmp_path / "downloads/cifar-10-python.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"")
    assert CIFAR10.find(archive) == CIFAR10.find(archive.parent) == archive
    assert CIFAR10.find(tmp_path / "absent") is None


def test_other_bytes_than_the_published_are_refused(tmp_path: Path) -> None:
    folder, _, _ = make_folder(tmp_path)
    with pytest.raises(DataError, match=rf"data_batch_1 has MD5 .*published is {CIFAR10.md5['data_batch_1']}"):
        prepare("cifar10", tmp_path / "data", 32, tmp_path)
    assert not (tmp_path / "data").exists()
    assert folder.is_dir()


def make_cifar100(root: Path, fine: list[int], names: list[str]) -> tuple[Path, Cifar]:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    data = np.random.default_rng(3).integers(0, 256, (len(fine), 3072), dtype=np.uint8)
    contents = {
        "train": python2_batch(data, fine, key=b"fine_labels"),
        "test": python2_batch(data[::-1], fine[::-1], key=b"fine_labels"),
        "meta": pickle.dumps({"fine_label_names": names, "coarse_label_names": ["fish"]}, 2),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    return folder, CIFAR100._replace(md5=md5, batch_images={"train": len(fine), "test": len(fine)})


def test_cifar100_takes_fine_labels_and_names_from_the_meta_file(tmp_path: Path) -> None:
    names = [f"thing {i}" for i in range(100)]
    folder, cifar = make_cifar100(tmp_path, [99, 0, 50], names)
    assert CIFAR100.find(tmp_path) == CIFAR100.find(folder) == folder
    source = cifar.source(folder, request(tmp_path))
    assert source.class_names == tuple(names)
    (train,), (test,) = source.chunks("train"), source.chunks("test")
    assert train.labels_N.tolist() == [99, 0, 50]
    assert np.array_equal(test.images_NHWC, train.images_NHWC[::-1])


def test_wrong_number_of_classes_is_named(tmp_path: Path) -> None:
    folder, cifar = make_cifar100(tmp_path, [0], ["apple", "pear"])
    with pytest.raises(DataError, match=r"meta is not a CIFAR-100 batch: it names 2 classes, CIFAR-100 has 100"):
        cifar.source(folder, request(tmp_path))


def test_label_out_of_range_is_named_or_skipped(tmp_path: Path) -> None:
    folder, cifar = make_cifar100(tmp_path, [99, 100, 5], [str(i) for i in range(100)])
    with pytest.raises(DataError, match=r"train, row 1: label 100 is out of range.*0 to 99.*--skip-bad"):
        list(cifar.source(folder, request(tmp_path)).chunks("train"))
    skipping = request(tmp_path, skip=True)
    (piece,) = cifar.source(folder, skipping).chunks("train")
    assert piece.labels_N.tolist() == [99, 5]
    assert len(piece.images_NHWC) == 2
    (line,) = skipping.bad_rows.found
    assert "train, row 1: label 100" in line


class Hostile:
    """A normal unpickler would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return eval, (f"open({str(self.path)!r}, 'w').write('ran')",)


def with_batch(tmp_path: Path, content: bytes) -> list[object]:
    folder, cifar, _ = make_folder(tmp_path)
    (folder / "test_batch").write_bytes(content)
    cifar = cifar._replace(md5={**cifar.md5, "test_batch": hashlib.md5(content).hexdigest()})
    return list(cifar.source(folder, request(tmp_path)).chunks("test"))


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
        (python2_batch(np.zeros((NUM, 3072), np.uint8), [0] * 3), "not 4 whole numbers"),
        (python2_batch(np.zeros((NUM, 3072), np.uint8), [0, 1, 2, 10]), "test_batch, row 3: label 10 is out of range"),
    ],
)
def test_batch_of_another_form_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_batch(tmp_path, content)


def test_missing_batch_and_broken_archive_are_named(tmp_path: Path) -> None:
    folder, cifar, _ = make_folder(tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"data_batch_3 is missing"):
        list(cifar.source(folder, request(tmp_path)).chunks("train"))
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(b"\x1f\x8b not gzip")
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz cannot be unpacked"):
        cifar.source(archive, request(tmp_path))


def test_failed_download_says_how_to_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # a port without a server
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    # Python builds it once per process, from the variables at that time.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(DataError, match=r"could not download CIFAR-10.*aib data prepare cifar10 --from PATH"):
        prepare("cifar10", tmp_path / "data", 32)
    assert not (tmp_path / "data").exists()


def test_real_images_as_official_batch_pass_the_published_digest(tmp_path: Path) -> None:
    """The official test batch, rebuilt from Parquet with the same bytes, passes the default check and is read."""
    table = pq.read_table(real_data("cifar10") / "test.parquet")
    images = np.stack([decode_image(record["bytes"], 32) for record in table.column("image").to_pylist()])
    names = [record["path"].rsplit("/")[-1] for record in table.column("image").to_pylist()]
    labels = table.column("label").to_pylist()
    data = images.transpose(0, 3, 1, 2).reshape(len(images), 3072)
    (tmp_path / "test_batch").write_bytes(python2_batch(data, labels, b"testing batch 1 of 1", names))
    pieces = list(CIFAR10.source(tmp_path, request(tmp_path)).chunks("test"))
    assert np.array_equal(np.concatenate([piece.images_NHWC for piece in pieces]), images)
    assert np.concatenate([piece.labels_N for piece in pieces]).tolist() == labels
