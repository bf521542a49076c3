"""A trial without Ray refuses images that no classifier can be trained on, and continues one that has begun."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.images import parquet_folder, store_of
from tests.support.tiny_trial import tiny_trial
from trainables.data.trainable import check_trainable
from trainables.errors import ConfigError, DataError
from trainables.run import main

TWO = np.repeat(np.arange(2), (60, 40)).astype(np.int64)
WHOLE = {"data__train_images": None, "data__val_images": None, "data__test_images": None}


def test_training_images_may_be_as_few_as_the_batch() -> None:
    check_trainable(store_of(TWO), tiny_trial(optim__batch_size=90, **WHOLE))
    with pytest.raises(ConfigError, match="is 91, but only 90 images of 'toy' are for training; allowed: 2 to 90"):
        check_trainable(store_of(TWO), tiny_trial(optim__batch_size=91, **WHOLE))


def test_one_class_is_refused_whatever_classes_there_are() -> None:
    """A second class in the names or in the validation images does not help."""
    labels = np.zeros(100, np.int64)
    named = dataclasses.replace(store_of(labels), class_names=("cat", "dog"))
    with pytest.raises(DataError, match="all 90 training images of data set 'toy' are of one class, 'cat'"):
        check_trainable(named, tiny_trial(**WHOLE))


def test_a_trial_without_ray_is_refused_before_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset=few", "model=vgg", "data.image_size=16", "model.width=0.0625", "epochs=1"]
    words += ["--from", str(parquet_folder(tmp_path / "in")), "--data-root", str(tmp_path / "data")]
    assert main([*words, "--out", str(tmp_path / "trial")]) == 2
    said = capsys.readouterr().err
    assert "note: the files name no classes, so the classes are called by their numbers: 0, 1" in said
    assert "'optim.batch_size' is 128, but only 18 images of 'few' are for training" in said
    assert not (tmp_path / "trial").exists()
