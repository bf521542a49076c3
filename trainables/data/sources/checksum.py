"""Compares files with their published MD5, against damage and mix-ups (MD5 does not protect against attacks)."""

import hashlib
from pathlib import Path

from trainables.errors import DataError


def check_md5(path: Path, published: str, advice: str) -> None:
    """Raises DataError for a missing file, or one with another MD5; the message names both digests."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path} is missing. {advice}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}). {advice}") from error
    if found != published:
        raise DataError(f"{path} has MD5 {found}, published is {published}. {advice}")
