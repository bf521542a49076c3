"""Predicts images with a trained model: probabilities and attention maps, each image independent of the others."""

from typing import NamedTuple

import numpy as np
import torch

from trainables.errors import ConfigError
from trainables.evaluation.evaluate import Draws, final_draws, predict_batch
from trainables.export import LoadedModel
from trainables.runtime.randomness import stream


class Inference(NamedTuple):
    probabilities_NC: np.ndarray
    """float32; softmax of the logits, which are averaged over the draws."""
    maps_Nhw: np.ndarray | None
    """float32 headline map, without noise; None for a model without maps."""


def infer(loaded: LoadedModel, images_NHWC: np.ndarray, draws: Draws | None = None) -> Inference:
    """Predicts raw RGB images, uint8 at the model's image size; ConfigError for any other shape or type.

    `draws` defaults to those of the final evaluation. Every image gets the same noise, so that its result does not
    depend on the other images.
    """
    size = loaded.config.data.image_size
    if images_NHWC.dtype != np.uint8 or images_NHWC.ndim != 4 or images_NHWC.shape[1:] != (size, size, 3):
        raise ConfigError(
            f"images are {images_NHWC.dtype} of shape {images_NHWC.shape}; allowed: uint8 (N, {size}, {size}, 3)."
        )
    draws = draws or final_draws(loaded.config)
    parts = [_one(loaded, image_HWC, draws) for image_HWC in images_NHWC]
    probabilities_NC = np.empty((len(parts), len(loaded.class_names)), np.float32)
    for row, (probabilities_C, _) in enumerate(parts):
        probabilities_NC[row] = probabilities_C
    if not loaded.model.map_sizes:
        return Inference(probabilities_NC, None)
    maps_Nhw = np.empty((len(parts), *next(iter(loaded.model.map_sizes.values()))), np.float32)
    for row, (_, maps) in enumerate(parts):
        maps_Nhw[row] = next(iter(maps.values()))
    return Inference(probabilities_NC, maps_Nhw)


def _one(loaded: LoadedModel, image_HWC: np.ndarray, draws: Draws) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    # One image per pass, because convolutions of another batch size may differ in the last digits.
    image_1HWC = torch.from_numpy(np.array(image_HWC))[None]
    generator = stream(loaded.config.seed, "inference")
    logits_1C, output = predict_batch(loaded.model, image_1HWC, loaded.config, draws, generator)
    return logits_1C.softmax(1)[0].numpy(), {name: maps[0].float().numpy() for name, maps in output.maps.items()}
