import pickle

import numpy as np
import torch

from trainables.config.trial import TrialConfig
from trainables.interpretability.examples import CLEAN, SHOWN, example_panels
from trainables.interpretability.score import Prediction


def test_panels_hold_plain_arrays_of_the_images_and_what_the_model_said_of_each():
    images = torch.randint(0, 256, (6, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    passes = []

    def predict(images_BHWC: torch.Tensor, _batch: int) -> Prediction:
        passes.append(images_BHWC)
        return Prediction(images_BHWC[:, 0, 0, 0].long() % 10, images_BHWC[:, ::2, ::2, 0].float() / 255)

    config = TrialConfig.from_dict({}).evaluation
    panels = example_panels(predict, images, list(range(6)), images, config, seed=0, count=4)
    assert panels.columns == (CLEAN, *SHOWN)
    assert len(passes) == 5
    assert panels.images_NKHWC.shape == (4, 5, 16, 16, 3)
    for column, given in enumerate(passes):
        np.testing.assert_array_equal(panels.images_NKHWC[:, column], given)
        np.testing.assert_array_equal(panels.predicted_NK[:, column], given[:, 0, 0, 0] % 10)
        np.testing.assert_allclose(panels.maps_NKhw[:, column], given[:, ::2, ::2, 0] / 255, rtol=1e-6)
    np.testing.assert_array_equal(panels.images_NKHWC[:, 0], images[:4])
    np.testing.assert_allclose(panels.centered_cosine_NK[:, 0], 1)
    assert (panels.centered_cosine_NK[:, 1:] < 0.99999).all()
    np.testing.assert_array_equal(panels.labels_N, [0, 1, 2, 3])
    restored = pickle.loads(pickle.dumps(panels))
    np.testing.assert_array_equal(restored.maps_NKhw, panels.maps_NKhw)
