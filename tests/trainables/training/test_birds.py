"""Small trainings of both backbones from scratch on real photographs of birds."""

from pathlib import Path

import pytest

from tests.support.images import real_data
from trainables import metrics
from trainables.checkpoints.checkpoint import checkpoint_folder, read_tensors
from trainables.config.trial import TrialConfig
from trainables.data.prepare import prepare
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit


@pytest.fixture(scope="module")
def birds_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the sample of CUB-200-2011 at the stored size of 32-pixel models."""
    folder, root = real_data("cub200"), tmp_path_factory.mktemp("birds")
    prepare("cub200", root, 37, folder)
    prepare("cluttered-digits", root, 16)
    return root


@pytest.mark.parametrize(
    ("model", "recipe"), [("vgg-aib-qt", "released"), ("wrn-aib-qt", "released"), ("vgg-aib", "paper")]
)
def test_a_trial_on_birds_trains_and_is_scored(birds_root: Path, tmp_path: Path, model: str, recipe: str) -> None:
    small = {
        "model.width": 0.0625,
        "model.pretrained": "none",
        "data.image_size": 32,
        "data.train_images": 64,
        "data.val_images": 32,
        "data.test_images": 32,
        "bottleneck.latent_dim": 8,
        "evaluation.interp_images": 16,
        "evaluation.occluder_dataset": "cluttered-digits",
        "epochs": 2,
    }
    config = TrialConfig.from_dict({"model": model, "dataset": "cub200", "recipe": recipe, **small})
    reports = list(fit(config, Runtime(data_root=birds_root)))
    assert [report.epoch for report in reports] == [1, 2]
    final = reports[-1].metrics
    assert {*metrics.FINAL, *metrics.INTERPRETABILITY} <= set(final)
    assert (set(metrics.RAW_AND_AVERAGED) <= set(final)) == (recipe == "released")
    folder = reports[-1].save(checkpoint_folder(tmp_path, 2))
    # The model sees 32 of the 37 stored pixels, also in evaluation.
    assert read_tensors(folder, "examples")["images_NKHWC"].shape[2:4] == (32, 32)
