"""Predicts image files with a loaded model: class, probabilities, and a picture of its attention."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.drawing.overlay import overlay_png
from trainables.data.crop import centre_crop
from trainables.data.sources.pixels import FORMATS, decode_image, read_encoded
from trainables.errors import DataError
from trainables.evaluation.inference import infer
from trainables.export import LoadedModel


@dataclass(frozen=True)
class ImagePrediction:
    """The keys of one prediction of `aib predict --json`."""

    image: str
    label: str
    index: int
    probability: float
    probabilities: dict[str, float]
    attention_png: str | None
    """None for a model without a spatial map."""
    notes: list[str]
    """What was changed or left out when the image was read."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def predict_images(loaded: LoadedModel, paths: Sequence[Path], out: Path) -> list[ImagePrediction]:
    """Predicts at least one image and writes each headline map's overlay to `out/NAME-attention.png`.

    A model without maps writes no picture and makes no folder. All images are read before anything is written; raises
    DataError for the first one that cannot be read.
    """
    data = loaded.config.data
    remarks = [Counter[str]() for _ in paths]
    images_NHWC = np.stack([read_image(path, data.stored_size, own) for path, own in zip(paths, remarks, strict=True)])
    images_NHWC = centre_crop(images_NHWC, data.image_size)
    found = infer(loaded, images_NHWC)
    pictures = [] if found.maps_Nhw is None else _pictures(paths, out)
    if found.maps_Nhw is not None:
        out.mkdir(parents=True, exist_ok=True)
        for picture, image_HWC, map_hw in zip(pictures, images_NHWC, found.maps_Nhw, strict=True):
            picture.write_bytes(overlay_png(image_HWC, map_hw))
    predictions = []
    for i, (path, p_C) in enumerate(zip(paths, found.probabilities_NC, strict=True)):
        predictions.append(
            ImagePrediction(
                image=str(path),
                label=loaded.class_names[int(p_C.argmax())],
                index=int(p_C.argmax()),
                probability=float(p_C.max()),
                probabilities={name: float(p) for name, p in zip(loaded.class_names, p_C, strict=True)},
                attention_png=str(pictures[i]) if pictures else None,
                notes=list(remarks[i]),
            )
        )
    return predictions


def read_image(path: Path, size: int, remarks: Counter[str] | None = None) -> np.ndarray:
    """Reads an image file as RGB uint8 (size, size, 3), as `aib data prepare` does: upright and resized.

    Counts in `remarks` what it changed or left out. Raises DataError for a file that cannot be read.
    """
    try:
        return decode_image(read_encoded(path), size, remarks=remarks)
    except FileNotFoundError:
        raise DataError(f"there is no image {path}; give the path of a {', '.join(FORMATS)} file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be used: {error}.") from None


def _pictures(paths: Sequence[Path], out: Path) -> list[Path]:
    """One path per image; images with the same stem are numbered."""
    names: list[str] = []
    for path in paths:
        tries = (f"{path.stem}{'' if k == 0 else f'-{k}'}-attention.png" for k in itertools.count())
        names.append(next(name for name in tries if name not in names))
    return [out / name for name in names]
