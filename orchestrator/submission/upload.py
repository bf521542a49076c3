"""What travels to the cluster with a job: our own code where it is not installed, and the spec. Nothing else."""

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
def parcel(spec: Path | None) -> Iterator[Path | None]:
    """A folder to be the job's working directory, for the time of the block; None where nothing has to travel.

    The spec lies where `spec_in_parcel` says. Raises PreflightError for more than MAX_BYTES.
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
            # The cluster has no checkout to ask.
            (folder / COMMIT_FILE).write_text(git_commit(), encoding="utf-8")
        if spec is not None:
            target = folder / spec_in_parcel(spec)
            target.parent.mkdir()
            shutil.copyfile(spec, target)
        check_size(folder)
        yield folder


def spec_in_parcel(spec: Path) -> str:
    """The spec's path below the job's working directory, under its own name, which messages about it will show."""
    return f"spec/{spec.name}"


def check_size(folder: Path) -> None:
    """PreflightError where the parcel is larger than a cluster should be sent; names what makes it so."""
    sizes = {path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    if total > MAX_BYTES:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:LARGEST_NAMED]
        raise PreflightError(
            f"the code of this checkout has {total / 2**20:.1f} MiB, and a job may bring {MAX_BYTES / 2**20:.0f} MiB; "
            f"move out of {', '.join(OWN_PACKAGES)} what does not belong there. Largest: "
            + ", ".join(f"{path} ({sizes[path] / 2**20:.1f} MiB)" for path in largest)
            + "."
        )
