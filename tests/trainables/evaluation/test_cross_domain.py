"""CIFAR-10 models on STL-10: nine shared classes, one class that the model lacks, and Table 1's label numbers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.images import real_data, write_prepared
from tests.support.tiny_trial import on_ranks, tiny_trial
from trainables.data.arrow_store import Split, Store, open_store
from trainables.data.catalog import KNOWN_DATASETS
from trainables.data.prepare import prepare
from trainables.errors import ConfigError
from trainables.evaluation.cross_domain import NO_CLASS, class_map, cross_errors_pct, is_prepared, score_stl10
from trainables.evaluation.evaluate import Draws, final_draws
from trainables.metrics import CROSS_DOMAIN
from trainables.models.build import build_model
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

CIFAR10, STL10 = KNOWN_DATASETS["cifar10"].class_names or (), KNOWN_DATASETS["stl10"].class_names or ()


class ReadsItsClass(torch.nn.Module):
    """Predicts the class that the image's first pixel encodes; ignores the draws."""

    def draw_noise(self, *_: Any) -> None:
        return None

    def forward(self, x_BCHW: torch.Tensor, _: None) -> SimpleNamespace:
        spelt_B = ((x_BCHW[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
        return SimpleNamespace(logits_STBC=torch.nn.functional.one_hot(spelt_B, 10).float()[None, None])


def spelling(answers: dict[int, int]) -> Store:
    """STL-10 with 3 images of each class in every split; each encodes the CIFAR-10 class to predict."""
    labels_N = np.tile(np.arange(10, dtype=np.int64), 3)
    images_NHWC = np.zeros((30, 16, 16, 3), np.uint8)
    images_NHWC[:] = np.array([answers[label] for label in labels_N], np.uint8)[:, None, None, None]
    split = Split(images_NHWC, labels_N)
    return Store("stl10", 16, STL10, "0" * 64, {"train": split, "test": split}, "made here")


def errors(answers: dict[int, int]) -> dict[str, float]:
    config, runtime = tiny_trial(dataset="cifar10", data__normalization="half"), Runtime(data_root=Path())
    return cross_errors_pct(ReadsItsClass(), CIFAR10, spelling(answers), config, runtime, Draws(1, 1))  # type: ignore[arg-type]


def test_classes_are_paired_by_name_and_monkeys_by_none() -> None:
    assert class_map(CIFAR10, STL10).tolist() == [0, 2, 1, 3, 4, 5, 7, NO_CLASS, 8, 9]
    assert class_map(STL10, CIFAR10).tolist() == [0, 2, 1, 3, 4, 5, NO_CLASS, 6, 8, 9]
    assert class_map(CIFAR10, CIFAR10).tolist() == list(range(10))


def test_a_model_that_recognises_every_shared_class_is_left_with_the_monkeys() -> None:
    by_name = {0: 0, 1: 2, 2: 1, 3: 3, 4: 4, 5: 5, 6: 7, 7: 6, 8: 8, 9: 9}
    found = errors(by_name)
    assert set(found) == set(CROSS_DOMAIN)
    for split in ("train", "test"):
        assert found[f"stl10_{split}_error_pct"] == pytest.approx(10)
        assert found[f"stl10_{split}_index_error_pct"] == pytest.approx(40)
        assert found[f"stl10_{split}_shared_error_pct"] == 0


def test_a_model_that_says_the_number_satisfies_the_index_comparison_only() -> None:
    found = errors({label: label for label in range(10)})
    assert found["stl10_test_index_error_pct"] == 0
    assert found["stl10_test_error_pct"] == pytest.approx(40)
    assert found["stl10_test_shared_error_pct"] == pytest.approx(100 * 3 / 9)


def test_a_monkey_is_an_error_whatever_the_answer() -> None:
    by_name = {0: 0, 1: 2, 2: 1, 3: 3, 4: 4, 5: 5, 6: 7, 8: 8, 9: 9}
    for answer in range(10):
        assert errors({**by_name, 7: answer})["stl10_test_error_pct"] == pytest.approx(10)


def test_no_shared_class_is_refused() -> None:
    config, runtime = tiny_trial(dataset="cifar10"), Runtime(data_root=Path())
    with pytest.raises(ConfigError, match=r"airplane.*share no class.*such as cifar10"):
        cross_errors_pct(ReadsItsClass(), ("0", "1"), spelling({}.fromkeys(range(10), 0)), config, runtime, Draws(1, 1))  # type: ignore[arg-type]


def _score(runtime: Runtime) -> dict[str, float]:
    config = tiny_trial(dataset="cifar10", data__test_images=47)
    return score_stl10(build_model(config, 10), CIFAR10, config, runtime, final_draws(config))


@pytest.mark.slow
def test_two_ranks_score_as_one_to_the_last_bit(tmp_path: Path) -> None:
    """47 images of each split in batches of 20: three batches, so two ranks have unequal shares."""
    write_prepared(tmp_path, "stl10", 16, STL10, 12)
    first, second = on_ranks(2, _score, tmp_path)
    torch.set_num_threads(1)
    assert first == second == _score(Runtime(data_root=tmp_path))
    assert set(first) == set(CROSS_DOMAIN)


@pytest.mark.parametrize("with_stl10", [True, False])
def test_a_cifar10_trial_ends_with_stl10_where_it_is_prepared(with_stl10: bool, tmp_path: Path) -> None:
    write_prepared(tmp_path, "cifar10", 16, CIFAR10, 10)
    prepare("cluttered-digits", tmp_path, 16)
    if with_stl10:
        write_prepared(tmp_path, "stl10", 16, STL10, 4)
    config = tiny_trial(dataset="cifar10", epochs=2, data__train_images=40, data__val_images=20, data__test_images=20)
    first, last = (report.metrics for report in fit(config, Runtime(data_root=tmp_path)))
    assert not set(CROSS_DOMAIN) & set(first)
    assert set(CROSS_DOMAIN) & set(last) == (set(CROSS_DOMAIN) if with_stl10 else set())
    if with_stl10:
        assert 10 <= last["stl10_test_error_pct"] <= 100


def _wait_for_all(runtime: Runtime) -> bool:
    here = runtime.data_root / ("with" if runtime.rank == 0 else "without")
    return is_prepared(
        tiny_trial(dataset="cifar10"), Runtime(data_root=here, rank=runtime.rank, world_size=runtime.world_size)
    )


def test_a_rank_without_the_images_spares_the_others_the_wait(tmp_path: Path) -> None:
    write_prepared(tmp_path / "with", "stl10", 16, STL10, 4)
    assert on_ranks(2, _wait_for_all, tmp_path) == [False, False]


def test_real_stl10_images_are_scored_with_their_own_names(tmp_path: Path) -> None:
    prepare("stl10", tmp_path, 16, real_data("stl10"))
    store = open_store(tmp_path, "stl10", 16)
    assert class_map(CIFAR10, store.class_names).tolist() == [0, 2, 1, 3, 4, 5, 7, NO_CLASS, 8, 9]
    config = tiny_trial(dataset="cifar10", data__test_images=200)
    found = score_stl10(build_model(config, 10), CIFAR10, config, Runtime(data_root=tmp_path), final_draws(config))
    for split in ("train", "test"):
        # Stratified: a tenth of the images are monkeys.
        assert found[f"stl10_{split}_error_pct"] == pytest.approx(10 + 0.9 * found[f"stl10_{split}_shared_error_pct"])
