"""The catalogue of known data sets: classes, default size, and where to get the images."""

import difflib
import shlex
from typing import NamedTuple

from trainables.errors import ConfigError

DIGITS = tuple("0123456789")


class KnownDataset(NamedTuple):
    """One entry of the catalogue."""

    name: str
    num_classes: int
    class_names: tuple[str, ...] | None
    """Index = label; None: the source names them."""
    image_size: int
    """Default side of the prepared square images, in pixels; CUB-200's are cropped to 224 when they are used."""
    obtain: str
    """Where to get the images."""
    official: str | None
    """The official files that `aib data prepare --from PATH` accepts; None: the data set needs no files."""

    @property
    def accepts(self) -> str | None:
        """Everything that `--from PATH` may be."""
        return f"{self.official}; or {PARQUET}" if self.official else None


PARQUET = (
    "a folder with train.parquet and test.parquet, or train-*.parquet and test-*.parquet, or with such files in data/ "
    "(columns image, label)"
)

KNOWN_DATASETS = {
    known.name: known
    for known in (
        KnownDataset("cluttered-digits", 10, DIGITS, 32, "composed from scikit-learn's handwritten digits", None),
        KnownDataset(
            "cifar10",
            10,
            ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
            32,
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            "cifar-10-python.tar.gz or its folder cifar-10-batches-py",
        ),
        KnownDataset(
            "cifar100",
            100,
            None,
            32,
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            "cifar-100-python.tar.gz or its folder cifar-100-python",
        ),
        KnownDataset(
            "svhn",
            10,
            DIGITS,
            32,
            "http://ufldl.stanford.edu/housenumbers (cropped digits)",
            "a folder with train_32x32.mat and test_32x32.mat, for --extra extra_32x32.mat too",
        ),
        KnownDataset(
            "stl10",
            10,
            ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
            32,
            "https://cs.stanford.edu/~acoates/stl10 (labelled images)",
            "stl10_binary.tar.gz or its folder stl10_binary",
        ),
        KnownDataset(
            "cub200",
            200,
            None,
            256,
            "https://www.vision.caltech.edu/datasets/cub_200_2011",
            "CUB_200_2011.tgz or its folder CUB_200_2011",
        ),
    )
}


def known_dataset(name: str) -> KnownDataset:
    """The catalogue's entry; for any other name a ConfigError with the nearest name and all names."""
    if name in KNOWN_DATASETS:
        return KNOWN_DATASETS[name]
    near = difflib.get_close_matches(name, KNOWN_DATASETS, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise ConfigError(
        f"'{name}' (DATASET, or trial field 'data.name') is not a known data set and not prepared; {hint}"
        f"known: {', '.join(KNOWN_DATASETS)}. Images of your own, as {PARQUET}, become a data set with: "
        f"{prepare_command(name, default_image_size(name))}"
    )


def default_image_size(name: str) -> int:
    """Default side in pixels of a data set's prepared images."""
    return KNOWN_DATASETS[name].image_size if name in KNOWN_DATASETS else 32


def prepare_command(name: str, image_size: int) -> str:
    """The command that prepares a data set, ready to paste after PATH is filled in."""
    words = ["aib data prepare", shlex.quote(name)]
    if name != "cluttered-digits":
        words.append("--from PATH")
    if image_size != default_image_size(name):
        words.append(f"--image-size {image_size}")
    return " ".join(words)
