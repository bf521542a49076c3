"""The least that a classifier must beat: the answer that is always the most frequent class."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import open_store
from trainables.data.splits import select


class ConstantAnswer(NamedTuple):
    """The result of always answering one class."""

    error_pct: float
    num_images: int


def best_constant_answer(data_root: Path, config: TrialConfig) -> ConstantAnswer:
    """Returns the validation error (%) of always answering the class that is most frequent among these images."""
    store = open_store(data_root, config.data.name, config.data.stored_size)
    val = select(store, config.data).val
    counts = np.bincount(val.split.labels_N[val.indices_N])
    return ConstantAnswer(100.0 * (1 - int(counts.max()) / len(val)), len(val))
