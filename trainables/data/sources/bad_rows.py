"""What becomes of a row that cannot be used: by default it ends the preparing; on request it is listed and left out."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from trainables.errors import DataError


@dataclass
class BadRows:
    """Undecodable images, boxes beside their image and labels out of range, as the readers meet them.

    A damaged container (archive, table, digest) is no bad row: nothing in it can be trusted.
    """

    skip: bool = False
    found: list[str] = field(default_factory=list)
    """One line for each row left out: file and row, and why."""

    def add(self, where: str, why: str, advice: str) -> None:
        """Notes a row; DataError with the advice where bad rows are not to be skipped."""
        if not self.skip:
            raise DataError(f"{where}: {why}. {advice}, or leave bad rows out with --skip-bad.")
        self.found.append(f"{where}: {why}")


def good_labels(
    labels_N: np.ndarray, num_classes: int, where: Callable[[int], str], advice: str, bad_rows: BadRows
) -> np.ndarray:
    """Which rows (N, bool) have a label from 0 to `num_classes` - 1; the others are bad rows, at `where(row)`."""
    good_N: np.ndarray = (labels_N >= 0) & (labels_N < num_classes)
    for row in np.flatnonzero(~good_N):
        why = f"label {labels_N[row]} is out of range; with {num_classes} classes labels are 0 to {num_classes - 1}"
        bad_rows.add(where(int(row)), why, advice)
    return good_N
