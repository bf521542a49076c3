"""Downloads official files from their official addresses and checks their published MD5."""

import hashlib
import http.client
import urllib.request
from pathlib import Path
from typing import NamedTuple

from trainables.errors import DataError

STALL_S = 30.0
"""The download fails if the server is silent for this long."""


class Download(NamedTuple):
    url: str
    md5: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


def download(title: str, files: tuple[Download, ...], folder: Path, advice: str) -> None:
    """Writes the files into a folder; a failure raises DataError with the advice for a machine without a network."""
    for file in files:
        try:
            _fetch(file, folder / file.file)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DataError(
                f"this machine could not download {title} from {file.url} ({error}). Get {file.file} on another "
                f"machine, then: {advice}"
            ) from error


def _fetch(file: Download, target: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(file.url, timeout=STALL_S) as answer, target.open("xb") as out:
        while block := answer.read(2**20):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != file.md5:
        raise ValueError(f"the download has MD5 {digest.hexdigest()}, published is {file.md5}")
