"""The square that evaluation sees of a stored image: its centre."""

from typing import TypeVar

import numpy as np
import torch

Images = TypeVar("Images", np.ndarray, torch.Tensor)


def centre_crop(images_NHW: Images, side: int) -> Images:
    """The central `side` x `side` pixels of images (N, H, W, ...), as a view; an odd margin is larger at the end.

    Images that are no larger are returned as they are.
    """
    top, left = (max(0, (size - side) // 2) for size in images_NHW.shape[1:3])
    return images_NHW[:, top : top + side, left : left + side]
