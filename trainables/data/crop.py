"""Crops stored images to the central square that evaluation uses."""

from typing import TypeVar

import numpy as np
import torch

Images = TypeVar("Images", np.ndarray, torch.Tensor)


def centre_crop(images_NHW: Images, side: int) -> Images:
    """The central `side` x `side` pixels of images (N, H, W, ...), as a view; an odd margin is larger at the end.

    Returns images of at most this size unchanged.
    """
    top, left = (max(0, (size - side) // 2) for size in images_NHW.shape[1:3])
    return images_NHW[:, top : top + side, left : left + side]
