"""Every model can be exported and loaded, and predicts the same afterwards."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny_trial import tiny_trial
from trainables.evaluation.evaluate import final_draws, predict_batch
from trainables.evaluation.inference import infer
from trainables.export import export_model, load_exported
from trainables.models.build import MODELS, build_model
from trainables.models.traits import traits
from trainables.runtime.randomness import stream

CLASSES = ("zero", "one", "two")


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_predicts_as_the_one_that_was_exported(tmp_path: Path, name: str) -> None:
    config, images_NHWC = tiny_trial(model=name, seed=3), random_images(3)
    model = build_model(config, len(CLASSES))
    model.train()(torch.randn(8, 3, 16, 16, generator=stream("statistics")), model.draw_noise(8, 1, 1, stream("noise")))
    loaded = load_exported(
        export_model(tmp_path / "export", model.state_dict(), config, CLASSES, {"error": 1.0}, {}, "# card")
    )
    assert loaded.config == config
    found, has = infer(loaded, images_NHWC), traits(name)
    assert found.probabilities_NC.shape == (3, len(CLASSES))
    assert found.probabilities_NC.sum(1) == pytest.approx(np.ones(3), abs=1e-6)
    assert (found.maps_Nhw is not None) == bool(has.maps)
    for row, image_HWC in enumerate(images_NHWC):
        logits_1C, output = predict_batch(
            model.eval(),
            torch.from_numpy(image_HWC)[None],
            config,
            final_draws(config),
            stream(config.seed, "inference"),
        )
        assert (logits_1C.softmax(1)[0].numpy() == found.probabilities_NC[row]).all()
        if found.maps_Nhw is not None:
            assert (output.maps[has.maps[0]][0].numpy() == found.maps_Nhw[row]).all()


def test_no_images_give_no_answers(tmp_path: Path) -> None:
    for name, shape in (("vgg-att3", (0, 2, 2)), ("vgg", None)):
        config = tiny_trial(model=name)
        weights = build_model(config, len(CLASSES)).state_dict()
        folder = export_model(tmp_path / name, weights, config, CLASSES, {}, {}, "# card")
        found = infer(load_exported(folder), random_images(0))
        assert found.probabilities_NC.shape == (0, len(CLASSES))
        assert (None if found.maps_Nhw is None else found.maps_Nhw.shape) == shape
