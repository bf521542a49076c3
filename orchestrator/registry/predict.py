"""Image files through a loaded model: classes, probabilities, and a picture of where it looked."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.tracking.figures import overlay_png
from trainables.data.crop import centre_crop
from trainables.data.sources.pixels import decode_image
from trainables.errors import DataError
from trainables.export import LoadedModel
from trainables.inference import infer

MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ImagePrediction:
    """The keys of one prediction of `aib predict --json`."""

    image: str
    label: str
    index: int
    probability: float
    probabilities: dict[str, float]
    attention_png: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def predict_images(loaded: LoadedModel, paths: Sequence[Path], out: Path) -> list[ImagePrediction]:
    """Predicts every image and writes its attention overlay to `out/NAME-attention.png`; at least one image.

    All images are read before anything is written; DataError names the first that cannot be.
    """
    data = loaded.config.data
    images_NHWC = np.stack([read_image(path, data.stored_size) for path in paths])
    images_NHWC = centre_crop(images_NHWC, data.image_size)
    found = infer(loaded, images_NHWC)
    out.mkdir(parents=True, exist_ok=True)
    predictions = []
    for i, (path, picture) in enumerate(zip(paths, _pictures(paths, out), strict=True)):
        p_C = found.probabilities_NC[i]
        picture.write_bytes(overlay_png(images_NHWC[i], found.maps_Nhw[i]))
        predictions.append(
            ImagePrediction(
                image=str(path),
                label=loaded.class_names[int(p_C.argmax())],
                index=int(p_C.argmax()),
                probability=float(p_C.max()),
                probabilities={name: float(p) for name, p in zip(loaded.class_names, p_C, strict=True)},
                attention_png=str(picture),
            )
        )
    return predictions


def read_image(path: Path, size: int) -> np.ndarray:
    """An image file as RGB uint8 (size, size, 3), as data sets are prepared; DataError for what cannot be one."""
    try:
        num_bytes = path.stat().st_size
        if not path.is_file() or num_bytes > MAX_BYTES:
            raise DataError(f"{path} is no image file of at most {MAX_BYTES:,} bytes (it has {num_bytes:,}).")
        return decode_image(path.read_bytes(), size)
    except FileNotFoundError:
        raise DataError(f"there is no image {path}; give the path of a PNG, JPEG, WebP or BMP file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be used: {error}.") from None


def _pictures(paths: Sequence[Path], out: Path) -> list[Path]:
    """One name an image; files of the same stem are numbered."""
    names: list[str] = []
    for path in paths:
        tries = (f"{path.stem}{'' if k == 0 else f'-{k}'}-attention.png" for k in itertools.count())
        names.append(next(name for name in tries if name not in names))
    return [out / name for name in names]
