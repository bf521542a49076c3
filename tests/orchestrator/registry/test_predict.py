import dataclasses
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.registry.predict import MAX_BYTES, predict_images, read_image
from tests.orchestrator.registry.conftest import CLASSES, SIZE, export_tiny, random_images
from trainables.errors import DataError
from trainables.export import LoadedModel, load_exported
from trainables.inference import infer


@pytest.fixture
def loaded(exported: Path) -> LoadedModel:
    return load_exported(exported)


def save(path: Path, image_HWC: np.ndarray, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_HWC).convert(mode).save(path)
    return path


def test_predictions_are_the_models_with_an_overlay_each(loaded: LoadedModel, tmp_path: Path) -> None:
    images = random_images(3)
    paths = [save(tmp_path / f"{i}.png", image) for i, image in enumerate(images)]
    found = predict_images(loaded, paths, tmp_path / "out")
    expected = infer(loaded, images).probabilities_NC
    for prediction, path, p_C in zip(found, paths, expected, strict=True):
        assert prediction.image == str(path)
        assert list(prediction.probabilities) == list(CLASSES)
        assert list(prediction.probabilities.values()) == pytest.approx(p_C.tolist())
        assert (prediction.index, prediction.label) == (p_C.argmax(), CLASSES[p_C.argmax()])
        assert prediction.probability == max(prediction.probabilities.values())
        with Image.open(prediction.attention_png) as overlay:
            assert overlay.format == "PNG"
            assert min(overlay.size) >= 256


@pytest.mark.parametrize(
    ("model", "drawn"), [("vgg-att3", True), ("wrn-abn", True), ("vgg", False), ("vgg-dvib", False)]
)
def test_a_model_without_maps_gives_probabilities_and_no_overlay(tmp_path: Path, model: str, drawn: bool) -> None:
    loaded, image = load_exported(export_tiny(tmp_path / "export", model=model)), random_images(1)[0]
    (found,) = predict_images(loaded, [save(tmp_path / "a.png", image)], tmp_path / "out")
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert found.attention_png == (str(tmp_path / "out" / "a-attention.png") if drawn else None)
    assert (tmp_path / "out").exists() == drawn


def test_files_of_one_name_get_an_overlay_each(loaded: LoadedModel, tmp_path: Path) -> None:
    images = random_images(4)
    names = ("x/a.png", "y/a.png", "y/a-1.png", "z/a.bmp")
    paths = [save(tmp_path / name, image) for name, image in zip(names, images, strict=True)]
    found = predict_images(loaded, paths, tmp_path / "out")
    assert len({prediction.attention_png for prediction in found}) == len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK"])
def test_any_8_bit_image_of_any_size_is_read_as_square_rgb(tmp_path: Path, mode: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 31, 3), dtype=np.uint8)
    path = save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), picture, mode)
    read = read_image(path, SIZE)
    assert (read.shape, read.dtype) == ((SIZE, SIZE, 3), np.uint8)


def test_resizing_is_bilinear_as_when_data_sets_are_prepared(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    assert (read_image(save(tmp_path / "a.png", picture), SIZE) == expected).all()


def _bomb() -> bytes:
    """A PNG of a hundred bytes that claims 30000 x 30000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _truncated() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random_images(1)[0]).save(buffer, format="PNG")
    return buffer.getvalue()[:-60]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no bytes"),
        (b"not an image", "cannot be decoded"),
        (_truncated(), "cannot be decoded"),
        (_bomb(), "too large"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
    ],
    ids=["empty", "text", "truncated", "bomb", "postscript"],
)
def test_a_bad_file_is_named_and_nothing_is_written(
    loaded: LoadedModel, tmp_path: Path, content: bytes, said: str
) -> None:
    good, bad = save(tmp_path / "good.png", random_images(1)[0]), tmp_path / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.png.*{said}"):
        predict_images(loaded, [good, bad], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_absent_file_a_folder_and_a_huge_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image .*absent\.png"):
        read_image(tmp_path / "absent.png", SIZE)
    with pytest.raises(DataError, match="no image file"):
        read_image(tmp_path, SIZE)
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match=r"huge\.png"):
        read_image(huge, SIZE)


def test_a_file_is_resized_to_the_stored_size_and_cropped_as_in_evaluation(loaded: LoadedModel, tmp_path: Path) -> None:
    config = loaded.config.override({"data.stored_size": SIZE + 4})
    cropping = dataclasses.replace(loaded, config=config)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    path = save(tmp_path / "a.png", picture)
    stored_HWC = np.asarray(Image.fromarray(picture).resize((SIZE + 4, SIZE + 4), Image.Resampling.BILINEAR))
    (found,) = predict_images(cropping, [path], tmp_path / "out")
    expected = infer(cropping, stored_HWC[None, 2:-2, 2:-2]).probabilities_NC[0]
    assert list(found.probabilities.values()) == pytest.approx(expected.tolist())
    (whole,) = predict_images(loaded, [path], tmp_path / "whole")
    assert list(whole.probabilities.values()) != pytest.approx(expected.tolist())
