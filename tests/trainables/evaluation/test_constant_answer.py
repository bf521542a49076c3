"""The error that the most frequent class alone has on the validation images."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_trial import tiny_trial
from trainables.data.arrow_store import open_store
from trainables.data.splits import select
from trainables.evaluation.constant_answer import best_constant_answer


@pytest.mark.parametrize("images", [37, 50])
def test_no_single_class_has_a_lower_error(digits_root: Path, images: int) -> None:
    config = tiny_trial(data__val_images=images)
    found = best_constant_answer(digits_root, config)
    val = select(open_store(digits_root, "cluttered-digits", 16), config.data).val
    errors = [100 * float(np.mean(val.batch(np.arange(len(val)))[1].numpy() != label)) for label in range(10)]
    assert found.num_images == images
    assert found.error_pct == pytest.approx(min(errors))
