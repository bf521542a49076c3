"""A root as version 0.1.0 left it, before the modules moved into rooms (tests/fixtures/former_root.tar.xz).

It holds two studies of one spec, 1/64 of the width, on the embedded digits at 16 px, of which one was interrupted:

- `former`, finished: journal, Optuna database, and the registered model `aib-former` with its alias `champion`.
- `interrupted`, after SIGINT: two trials begun, one of them with a checkpoint of epoch 2 of 4.

Paths in it begin with FORMER_PLACE, which is gone: the root was moved. MLflow's metrics, the figures and the prepared
data were left out to keep it small.
"""

import os
import tarfile
from pathlib import Path

from tests.support.repository import ROOT

ARCHIVE = ROOT / "tests" / "fixtures" / "former_root.tar.xz"
FORMER_PLACE = Path("/ROOT")


def unpack_former_root(folder: Path, data: Path) -> Path:
    """Unpacks the root to `folder`, with `data` as its prepared data sets."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    os.symlink(data, folder / "data")
    return folder
