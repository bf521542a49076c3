"""Handles unusable rows: stops at the first one by default, or lists and leaves them out on request."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from trainables.errors import DataError


@dataclass
class BadRows:
    """Undecodable images, boxes outside their image and labels out of range, in the order in which they are found.

    A damaged container (archive, table, digest) is not a bad row: nothing in it can be trusted.
    """

    skip: bool = False
    found: list[str] = field(default_factory=list)
    """One line for each row left out: file, row and reason."""

    def add(self, where: str, why: str, advice: str) -> None:
        """Lists a row, or raises DataError with the advice unless `skip`."""
        if not self.skip:
            raise DataError(f"{where}: {why}. {advice}, or leave bad rows out with --skip-bad.")
        self.found.append(f"{where}: {why}")


def good_labels(
    labels_N: np.ndarray, num_classes: int, where: Callable[[int], str], advice: str, bad_rows: BadRows
) -> np.ndarray:
    """Mask (N, bool) of the rows with a label from 0 to `num_classes` - 1; adds the others to `bad_rows`.

    `where(row)` names a row in messages.
    """
    good_N: np.ndarray = (labels_N >= 0) & (labels_N < num_classes)
    for row in np.flatnonzero(~good_N):
        why = f"label {labels_N[row]} is out of range; with {num_classes} classes labels are 0 to {num_classes - 1}"
        bad_rows.add(where(int(row)), why, advice)
    return good_N
