"""Image files through a loaded model: classes, probabilities, and a picture of where it looked."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from orchestrator.tracking.figures import overlay_png
from trainables.errors import DataError
from trainables.export import LoadedModel
from trainables.inference import infer

MAX_PIXELS = 50_000_000


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
    """Predicts every image and writes its attention overlay to `out/NAME-attention.png`.

    All images are read before anything is written; DataError names the first that cannot be.
    """
    images_NHWC = np.stack([read_image(path, loaded.config.data.image_size) for path in paths])
    found = infer(loaded, images_NHWC)
    out.mkdir(parents=True, exist_ok=True)
    predictions = []
    for i, path in enumerate(paths):
        p_C = found.probabilities_NC[i]
        picture = out / f"{path.stem}{'' if _alone(path, paths) else f'-{i}'}-attention.png"
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
    """An image file as RGB uint8 (size, size, 3), resized bilinear; its size is checked before it is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"{path} has {image.width} x {image.height} pixels; allowed: up to {MAX_PIXELS:,} in all."
                    )
                rgb = image.convert("RGB")
                resized = rgb if rgb.size == (size, size) else rgb.resize((size, size), Image.Resampling.BILINEAR)
                return np.asarray(resized, dtype=np.uint8)
    except FileNotFoundError:
        raise DataError(f"there is no image {path}; give the path of a PNG, JPEG or other image file.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}); give a PNG, JPEG or other image file.") from None


def _alone(path: Path, paths: Sequence[Path]) -> bool:
    return sum(other.stem == path.stem for other in paths) == 1
