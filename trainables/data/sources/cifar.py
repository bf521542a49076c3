"""CIFAR-10's official Python batches, from their folder, from the archive as downloaded, or by downloading.

The batches are pickles. Each is checked against its published MD5, then read by an unpickler that can rebuild numpy
arrays and nothing else.
"""

import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct  # where numpy's own pickles find it
from PIL import Image

from trainables.data.catalog import KNOWN, prepare_command
from trainables.data.sources.source import Source
from trainables.data.store import Split
from trainables.errors import DataError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
BATCH_IMAGES = 10_000
DOWNLOAD_STALL_S = 30.0

BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
OFFICIAL_MD5 = {  # as published by torchvision.datasets.CIFAR10
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def find_cifar10(source: Path) -> Path | None:
    """The batches' folder or the archive, given either of them or the folder that holds one; None if neither."""
    candidates = (source / FOLDER, source, source / ARCHIVE)
    for path in candidates:
        if (path / BATCHES["test"][0]).is_file() or (path.is_file() and path.name.endswith((".tar.gz", ".tgz"))):
            return path
    return None


def cifar10_source(
    path: Path, image_size: int, md5: Mapping[str, str] = OFFICIAL_MD5, batch_images: int = BATCH_IMAGES
) -> Source:
    """The batches at `path` (folder or archive), resized bilinearly where `image_size` is not 32.

    `md5` and `batch_images` describe other files than the official ones.
    """

    def chunks(split: str) -> Iterator[Split]:
        for batch in BATCHES[split]:
            where = f"{path}, {batch}" if path.is_file() else f"{path / batch}"
            content = _read(path, batch)
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != md5[batch]:
                raise DataError(f"{where} has MD5 {found}, published is {md5[batch]}. Fetch {ARCHIVE} again.")
            yield _resized(_parse(where, content, batch_images), image_size)

    names = KNOWN["cifar10"].class_names
    assert names is not None
    num_images = {split: batch_images * len(batches) for split, batches in BATCHES.items()}
    return Source(names, f"cifar-10-batches-py {path.resolve()}", num_images, chunks)


def download_cifar10(folder: Path) -> Path:
    """Downloads the archive into a folder; DataError, with the command that needs no network, when it cannot."""
    import socket

    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_STALL_S)
    try:
        download_url(CIFAR10.url, str(folder), filename=ARCHIVE, md5=CIFAR10.tgz_md5)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"this machine could not download CIFAR-10 from {CIFAR10.url} ({error}). Get {ARCHIVE} on another "
            f"machine, then: {prepare_command('cifar10', 32)} (PATH: the archive, its folder {FOLDER}, or a folder "
            "with train.parquet and test.parquet)."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return folder / ARCHIVE


def _read(path: Path, batch: str) -> bytes:
    try:
        if path.is_dir():
            return (path / batch).read_bytes()
        with tarfile.open(path, "r:gz") as archive:
            member = archive.extractfile(f"{FOLDER}/{batch}")
            if member is None:
                raise KeyError(f"{FOLDER}/{batch} is not a file")
            return member.read()
    except FileNotFoundError as error:
        raise DataError(f"{path / batch} is missing; unpack {ARCHIVE} again.") from error
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path}: {batch} cannot be read ({error}). Fetch {ARCHIVE} again.") from error


def _resized(batch: Split, image_size: int) -> Split:
    if image_size == 32:
        return batch
    size = (image_size, image_size)
    images = [Image.fromarray(image).resize(size, Image.Resampling.BILINEAR) for image in batch.images_NHWC]
    return batch._replace(images_NHWC=np.stack([np.asarray(image) for image in images]))


class _ArraysOnly(pickle.Unpickler):
    """Refuses every name but the three that rebuild a numpy array."""

    _ALLOWED: Mapping[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of an image batch") from None


def _parse(where: str, content: bytes, batch_images: int) -> Split:
    """One batch: `data` uint8 (N, 3072), channel planes in rows; `labels` N whole numbers 0 to 9."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        data, labels = batch["data"], np.asarray(batch["labels"])
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (batch_images, 3 * 32 * 32):
            raise ValueError(f"its 'data' is not uint8 of shape ({batch_images}, 3072)")
        if labels.shape != (batch_images,) or labels.dtype.kind != "i" or not 0 <= labels.min() <= labels.max() <= 9:
            raise ValueError(f"its 'labels' are not {batch_images} whole numbers from 0 to 9")
    except Exception as error:
        # A hostile or broken pickle may raise anything; none of it is worth more than the file's name and the reason.
        raise DataError(f"{where} is not a CIFAR-10 batch: {error}. Fetch {ARCHIVE} again.") from error
    images_NCHW = data.reshape(batch_images, 3, 32, 32)
    return Split(np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1)), labels.astype(np.int64))
