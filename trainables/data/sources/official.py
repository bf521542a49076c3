"""The official files of each data set: how they are found, read and downloaded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from trainables.data.sources.cifar import CIFAR10, CIFAR100
from trainables.data.sources.cub200 import CUB200
from trainables.data.sources.download import Download
from trainables.data.sources.image_source import ImageSource, Request
from trainables.data.sources.stl10 import STL10
from trainables.data.sources.svhn import SVHN


class Official(NamedTuple):
    title: str
    find: Callable[[Path], Path | None]
    """Where the files are, given what a user gives; None where they are not."""
    source: Callable[[Path, Request], ImageSource]
    """Reads what `find` found."""
    downloads: tuple[Download, ...]
    extra: tuple[Download, ...] = ()
    """Fetched on request only."""


OFFICIAL: Mapping[str, Official] = {
    "cifar10": Official(CIFAR10.title, CIFAR10.find, CIFAR10.source, (CIFAR10.download,)),
    "cifar100": Official(CIFAR100.title, CIFAR100.find, CIFAR100.source, (CIFAR100.download,)),
    "svhn": Official(
        "SVHN",
        SVHN.find,
        SVHN.source,
        (SVHN.downloads["train"], SVHN.downloads["test"]),
        (SVHN.downloads["extra"],),
    ),
    "stl10": Official("STL-10", STL10.find, STL10.source, (STL10.download,)),
    "cub200": Official("CUB-200-2011", CUB200.find, CUB200.source, (CUB200.download,)),
}
