"""Reads CUB-200-2011 from the official archive or folder: official split, each image cropped to its bird's box."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from trainables.data.arrow_store import Split
from trainables.data.sources.archive import Layout
from trainables.data.sources.bad_rows import BadRows, good_labels
from trainables.data.sources.checksum import check_md5
from trainables.data.sources.download import Download
from trainables.data.sources.image_source import ImageSource, Request, rows_per_piece
from trainables.data.sources.pixels import decode_image, read_encoded
from trainables.errors import DataError

LISTS = ("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")
MAX_LIST_BYTES = 16 * 2**20
LAYOUT = Layout("CUB_200_2011.tgz", "CUB_200_2011", LISTS, "images")


class Photo(NamedTuple):
    number: int
    """Number of the image in the lists, from 1."""
    path: Path
    label: int
    box: tuple[float, ...]
    """Left, top, width, height in pixels."""


class Cub200(NamedTuple):
    """The size and the address of the official data set."""

    download: Download
    num_classes: int
    num_images: Mapping[str, int]

    def find(self, path: Path) -> Path | None:
        return LAYOUT.find(path)

    def source(self, place: Path, request: Request) -> ImageSource:
        """Raises DataError for an archive with another MD5, and for inconsistent lists."""
        if place.is_file():
            check_md5(place, self.download.md5, f"{LAYOUT.advice} A repacked one has to be unpacked: give its folder.")
        folder = LAYOUT.unpacked(place, request.scratch)
        class_names = self._class_names(folder)
        photos = self._photos(folder)
        good = {split: _good(folder, found, self.num_classes, request.bad_rows) for split, found in photos.items()}

        def chunks(split: str) -> Iterator[Split]:
            return _images(folder, good[split], request)

        num_images = {split: len(found) for split, found in good.items()}
        return ImageSource(class_names, f"CUB_200_2011, cropped to boxes, {place.resolve()}", num_images, chunks)

    def _class_names(self, folder: Path) -> tuple[str, ...]:
        names = _table(folder / "classes.txt", 1)
        if sorted(names) != list(range(1, self.num_classes + 1)):
            raise DataError(
                f"{folder / 'classes.txt'} names {len(names)} classes, not the {self.num_classes} from 1 to "
                f"{self.num_classes}. {LAYOUT.advice}"
            )
        return tuple(names[number][0] for number in sorted(names))

    def _photos(self, folder: Path) -> dict[str, list[Photo]]:
        paths = _table(folder / "images.txt", 1)
        labels = _table(folder / "image_class_labels.txt", 1)
        training = _table(folder / "train_test_split.txt", 1)
        boxes = _table(folder / "bounding_boxes.txt", 4)
        for file, other in zip(LISTS[2:], (labels, training, boxes), strict=True):
            if other.keys() != paths.keys():
                number = min(other.keys() ^ paths.keys())
                raise DataError(f"{folder / file} and images.txt disagree on image {number}. {LAYOUT.advice}")
        photos: dict[str, list[Photo]] = {"train": [], "test": []}
        for number in sorted(paths):
            (name,) = paths[number]
            inside = PurePosixPath(name)
            if inside.is_absolute() or ".." in inside.parts:
                raise DataError(f"{folder / 'images.txt'}, image {number}: {name!r} leads out of the folder.")
            try:
                box = tuple(float(side) for side in boxes[number])
                label, trains = int(labels[number][0]) - 1, bool(int(training[number][0]))
            except ValueError as error:
                raise DataError(f"{folder}, lists of image {number}: {error}. {LAYOUT.advice}") from error
            photos["train" if trains else "test"].append(Photo(number, folder / "images" / inside, label, box))
        found = {split: len(those) for split, those in photos.items()}
        if found != self.num_images:
            raise DataError(f"{folder}: its lists hold {found} images, official are {self.num_images}. {LAYOUT.advice}")
        return photos


def _table(path: Path, num_fields: int) -> dict[int, list[str]]:
    """Reads lines of a number and `num_fields` fields."""
    table: dict[int, list[str]] = {}
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise OSError(f"it has more than {MAX_LIST_BYTES:,} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). {LAYOUT.advice}") from error
    for i, line in enumerate(lines, 1):
        number, *fields = line.split() or [""]
        if not number.isdecimal() or int(number) in table or len(fields) != num_fields:
            raise DataError(
                f"{path}, line {i}: {line!r} is not a new number and {num_fields} field(s). " + LAYOUT.advice
            )
        table[int(number)] = fields
    return table


def _good(folder: Path, photos: list[Photo], num_classes: int, bad_rows: BadRows) -> list[Photo]:
    good_N = good_labels(
        np.array([photo.label for photo in photos], np.int64),
        num_classes,
        lambda row: f"{folder / 'image_class_labels.txt'}, image {photos[row].number}",
        LAYOUT.advice[:-1],
        bad_rows,
    )
    return [photo for photo, good in zip(photos, good_N, strict=True) if good]


def _images(folder: Path, photos: list[Photo], request: Request) -> Iterator[Split]:
    step = rows_per_piece(request.image_size)
    for start in range(0, len(photos), step):
        images, labels = [], []
        for photo in photos[start : start + step]:
            try:
                images.append(_cropped(photo, request.image_size))
                labels.append(photo.label)
            except ValueError as error:
                where = f"{photo.path}, image {photo.number} of the lists"
                request.bad_rows.add(where, f"{error}", LAYOUT.advice[:-1])
        images_NHWC = np.array(images, np.uint8).reshape(-1, request.image_size, request.image_size, 3)
        yield Split(images_NHWC, np.array(labels, np.int64))


def _cropped(photo: Photo, image_size: int) -> np.ndarray:
    try:
        encoded = read_encoded(photo.path)
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error})") from error
    return decode_image(encoded, image_size, photo.box)


CUB200 = Cub200(
    # The MD5 is CaltechDATA's own.
    Download("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78"),
    200,
    {"train": 5994, "test": 5794},
)
