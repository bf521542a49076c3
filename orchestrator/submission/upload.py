"""Builds the folder that is uploaded with a job: the spec, and our code if it runs from a checkout."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import PreflightError
from orchestrator.process.code_version import COMMIT_FILE, OWN_PACKAGES, checkout_root, git_commit

MAX_BYTES = 20 * 2**20
LARGEST_NAMED = 3


@contextmanager
def upload_folder(spec: Path | None) -> Iterator[Path | None]:
    """Yields the job's working directory, which is deleted afterwards; None if there is nothing to upload.

    The spec is at `spec_in_upload`. Raises PreflightError if the folder is larger than MAX_BYTES.
    """
    code = checkout_root()
    if code is None and spec is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="aib-job-") as name:
        folder = Path(name)
        if code is not None:
            for package in OWN_PACKAGES:
                shutil.copytree(code / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            # The cluster has no checkout from which to read the commit.
            (folder / COMMIT_FILE).write_text(git_commit(), encoding="utf-8")
        if spec is not None:
            target = folder / spec_in_upload(spec)
            target.parent.mkdir()
            shutil.copyfile(spec, target)
        check_size(folder)
        yield folder


def spec_in_upload(spec: Path) -> str:
    """The spec's path in the job's working directory; it keeps its file name, which error messages show."""
    return f"spec/{spec.name}"


def check_size(folder: Path) -> None:
    """Raises PreflightError with the largest files if the folder is larger than MAX_BYTES."""
    sizes = {path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    if total > MAX_BYTES:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:LARGEST_NAMED]
        raise PreflightError(
            f"the code of this checkout has {total / 2**20:.1f} MiB, but a job can upload at most "
            f"{MAX_BYTES / 2**20:.0f} MiB; move large files out of {', '.join(OWN_PACKAGES)}. Largest: "
            + ", ".join(f"{path} ({sizes[path] / 2**20:.1f} MiB)" for path in largest)
            + "."
        )
