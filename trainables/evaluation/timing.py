"""Measures a model's time for one image on this machine: the last columns of Table 4."""

import statistics
import time

import torch

from trainables.config.trial import TrialConfig
from trainables.evaluation.evaluate import Draws, predict_batch
from trainables.models.classifier import Classifier
from trainables.runtime.randomness import stream

_WARM_UP, _REPEATS = 3, 15


def ms_per_image(model: Classifier, config: TrialConfig, device: torch.device) -> float:
    """Median milliseconds for a batch of one image, with one draw of a and one of z, normalisation included.

    The first passes choose algorithms and do not count.
    """
    model.eval()
    side = config.data.image_size
    image_BHWC = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=device)
    generator = stream(config.seed, "timing", device=device)
    taken_s = []
    for _ in range(_WARM_UP + _REPEATS):
        _wait(device)
        started = time.perf_counter()
        predict_batch(model, image_BHWC, config, Draws(1, 1), generator)
        _wait(device)
        taken_s.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken_s[_WARM_UP:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
