"""A trial's training images stay on the device for the next trial of the same process."""

from pathlib import Path

import torch

from tests.support.tiny_trial import tiny_trial, without_timings
from trainables.data.arrow_store import open_store
from trainables.data.device_images import evaluation_tensors, resident
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

CPU = torch.device("cpu")


def test_the_next_trial_on_the_same_images_finds_them_there(digits_root: Path) -> None:
    data = tiny_trial().data
    first = resident(open_store(digits_root, "cluttered-digits", 16), data, CPU)
    again = resident(open_store(digits_root, "cluttered-digits", 16), data, CPU)
    assert again is first
    images_NHWC, labels_N = first.subsets.train.tensors(CPU)
    assert torch.equal(first.images_NHWC, images_NHWC)
    assert torch.equal(first.labels_N, labels_N)


def test_another_split_is_copied_anew(digits_root: Path) -> None:
    store = open_store(digits_root, "cluttered-digits", 16)
    first, other = (resident(store, tiny_trial(data__split_seed=seed).data, CPU) for seed in (0, 1))
    assert not torch.equal(first.images_NHWC, other.images_NHWC)


def test_evaluated_images_stay_on_a_device_and_not_in_a_processors_memory(digits_root: Path) -> None:
    subsets = resident(open_store(digits_root, "cluttered-digits", 16), tiny_trial().data, CPU).subsets
    elsewhere = torch.device("meta")
    kept = [evaluation_tensors(subset, elsewhere) for _ in range(2) for subset in (subsets.val, subsets.test)]
    assert kept[0] is kept[2]
    assert kept[1] is kept[3]
    first, again = (evaluation_tensors(subsets.val, CPU) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert first[0].data_ptr() != again[0].data_ptr()


def test_a_trial_leaves_the_images_as_they_were(digits_root: Path) -> None:
    config, runtime = tiny_trial(epochs=1), Runtime(data_root=digits_root)
    found = [[report.metrics for report in fit(config, runtime)] for _ in range(2)]
    assert without_timings(found[0]) == without_timings(found[1])
    store = open_store(digits_root, "cluttered-digits", 16)
    kept = resident(store, config.data, CPU)
    assert torch.equal(kept.images_NHWC, kept.subsets.train.tensors(CPU)[0])
