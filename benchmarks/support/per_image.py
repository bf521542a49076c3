"""The released code's input pipeline and training loop.

PIL images pass one by one through torchvision's transforms in a `DataLoader`. The loop is plain fp32 and reads the loss
after every step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.support.bare_loop import plain_step
from trainables.config.trial import TrialConfig
from trainables.data.augment import NORMALIZATIONS
from trainables.models.classifier import Classifier
from trainables.runtime.randomness import stream


class PilImages(Dataset[tuple[Any, int]]):
    """A data set of single PIL images, as in the released code."""

    def __init__(self, images_NHWC: np.ndarray[Any, Any], labels: list[int], config: TrialConfig) -> None:
        normalization = NORMALIZATIONS[config.data.normalization]
        self._images_NHWC, self._labels = images_NHWC, labels
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(config.data.image_size, padding=4, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(normalization.mean, normalization.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self._transform(Image.fromarray(self._images_NHWC[index])), self._labels[index]


def per_image_steps(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    images: PilImages,
    config: TrialConfig,
    device: torch.device,
    num_workers: int,
) -> Callable[[int], None]:
    """Returns a function that trains a number of steps. The loader's processes live across calls and passes."""
    loader: DataLoader[tuple[Any, int]] = DataLoader(
        images,
        config.optim.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=device.type == "cuda",
    )
    left: list[Any] = [iter(loader)]

    def steps(count: int) -> None:
        for step in range(count):
            batch = next(left[0], None)
            if batch is None:
                left[0] = iter(loader)
                batch = next(left[0])
            x_BCHW, labels_B = (part.to(device, non_blocking=True) for part in batch)
            noise = model.draw_noise(len(labels_B), 1, 1, stream(config.seed, "noise", step, device=device))
            plain_step(model, optimizer, x_BCHW, labels_B, noise, config)

    return steps
