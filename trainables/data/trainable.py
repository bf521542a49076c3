"""Checks that a classifier can be trained on the images that a trial selects."""

import numpy as np

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Store
from trainables.data.splits import select
from trainables.errors import ConfigError, DataError


def check_trainable(store: Store, config: TrialConfig) -> None:
    """Call it before a trial's first epoch; a trial that was started before may go on without it.

    Raises DataError where all training images are of one class, and ConfigError where they do not fill one batch.
    """
    train = select(store, config.data).train
    classes = np.unique(train.split.labels_N[train.indices_N])
    if len(classes) < 2:
        raise DataError(
            f"all {len(train)} training images of data set '{store.name}' are of one class, "
            f"'{store.class_names[classes[0]]}'; training needs two. Prepare it again with images of other classes, or "
            "select more of them (trial field 'data.train_images')."
        )
    if len(train) < config.optim.batch_size:
        raise ConfigError(
            f"trial field 'optim.batch_size' is {config.optim.batch_size}, but only {len(train)} images of "
            f"'{store.name}' are for training; allowed: 2 to {len(train)}."
        )
