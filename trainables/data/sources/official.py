"""The registry of official files: how to find, read and download each data set."""

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
    """The files at or in a path that the user gives; None if they are not there."""
    source: Callable[[Path, Request], ImageSource]
    """Reads the files that `find` returned."""
    downloads: tuple[Download, ...]
    extra: tuple[Download, ...] = ()
    """Downloaded on request only."""


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
