"""Preparing a data set of any size holds only one piece of it in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trainables.data.test_svhn import make_svhn

SMALL, LARGE = 2_000, 30_000
ALLOWED_GROWTH_MIB = 40
"""The pixels of the large data set are 88 MiB."""

PREPARE = """
import sys
from pathlib import Path
from tests.trainables.data.test_svhn import with_digests
from trainables.data.sources.bad_rows import BadRows
from trainables.data.prepare import prepare
from trainables.data.sources import official
def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024

for folder in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak that imports had
    svhn = with_digests(Path(folder))
    official.OFFICIAL["svhn"] = official.OFFICIAL["svhn"]._replace(find=svhn.find, source=svhn.source)
    for _ in range(2):  # the second time, the data set in place is read through and compared
        prepare("svhn", Path(sys.argv[1]) / Path(folder).name, 32, Path(folder))
    print(peak_mib())
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    folders = []
    for num in (SMALL, LARGE):
        images = {"train": np.zeros((num, 32, 32, 3), np.uint8), "test": np.zeros((100, 32, 32, 3), np.uint8)}
        images["train"][:, 0, 0, 0] = np.arange(num) % 256
        labels = {part: [1 + i % 10 for i in range(len(array))] for part, array in images.items()}
        folders.append(str(tmp_path / f"in-{num}"))
        make_svhn(Path(folders[-1]), images, labels)
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "data"), *folders]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    small_mib, large_mib = map(int, result.stdout.split())
    assert large_mib - small_mib < ALLOWED_GROWTH_MIB, f"peak went from {small_mib} to {large_mib} MiB"
