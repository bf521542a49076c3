import dataclasses
import functools
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.registry.predict import predict_images, read_image
from tests.orchestrator.registry.conftest import CLASSES, SIZE, export_tiny, random_images
from tests.support.images import STORED, with_orientation, write_parquet
from tests.support.repository import ROOT
from trainables.data.prepare import prepare
from trainables.data.sources.pixels import MAX_BYTES, MAX_SCANS
from trainables.errors import DataError
from trainables.evaluation.inference import infer
from trainables.export import LoadedModel, load_exported


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


def _claiming(side: int) -> bytes:
    """A PNG of a hundred bytes that claims side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@functools.cache
def _text_bomb() -> bytes:
    """A PNG with a compressed comment of 300 MB."""
    whole, pump = _encoded("PNG"), zlib.compressobj(1)
    packed = b"".join(pump.compress(b"\0" * 2**20) for _ in range(300)) + pump.flush()
    body = b"Comment\0\0" + packed
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return whole[:33] + chunk + whole[33:]


def _many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated two thousand times."""
    buffer = io.BytesIO()
    Image.fromarray(random_images(1)[0]).save(buffer, format="JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 2000 + whole[-2:]


def _encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random_images(1)[0]).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _animated(kind: str) -> bytes:
    frames = [Image.fromarray(image) for image in random_images(3)]
    return _encoded(kind, save_all=True, append_images=frames[1:])


def _sixteen_bit() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no bytes"),
        (b"not an image", "cannot be decoded"),
        (_encoded("PNG")[:-60], "cannot be decoded"),
        (_encoded("JPEG")[:-60], "cannot be decoded"),
        (_claiming(50_000), "too large"),
        (_claiming(8_000), r"claims 8000 x 8000 pixels, allowed are 50,000,000"),
        (_text_bomb(), "cannot be used"),
        (_many_scans(), f"scans, allowed are {MAX_SCANS}"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>', "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
        (_animated("GIF"), "animation of"),
        (_animated("TIFF"), "several pages"),
        (_encoded("ICO"), "cannot be decoded"),
        (_animated("PNG"), "animation of"),
        (_animated("WEBP"), "animation of"),
        (_sixteen_bit(), "has mode I;16"),
    ],
    ids=[
        *("empty", "text", "cut png", "cut jpeg", "50000 square", "8000 square", "text bomb", "scans", "svg"),
        *("postscript", "animated gif", "pages", "icon", "apng", "animated webp", "16 bit"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_written(
    loaded: LoadedModel, tmp_path: Path, content: bytes, said: str
) -> None:
    good, bad = save(tmp_path / "good.png", random_images(1)[0]), tmp_path / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.png.*{said}"):
        predict_images(loaded, [good, bad], tmp_path / "out")
    assert not (tmp_path / "out").exists()


DECODES = """
import resource, sys
from pathlib import Path
from trainables.data.sources.pixels import decode_image, read_encoded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        decode_image(read_encoded(Path(path)), 16)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sep="\\n")
"""


def test_hostile_images_are_refused_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """Decodes them, with a pipe and a device among them, in one process whose peak memory is measured."""
    hostile = {
        "claims.png": _claiming(50_000),
        "text.png": _text_bomb(),
        "scans.jpg": _many_scans(),
        "long.png": _encoded("PNG"),
    }
    paths = [tmp_path / name for name in hostile]
    for path, content in zip(paths, hostile.values(), strict=True):
        path.write_bytes(content)
    os.truncate(tmp_path / "long.png", 2 * MAX_BYTES)
    os.mkfifo(tmp_path / "pipe.png")
    words = [*map(str, paths), str(tmp_path / "pipe.png"), "/dev/zero", str(tmp_path / ("a" * 300)), "a" * 5000]
    done = subprocess.run(
        [sys.executable, "-c", DECODES, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert len(done.stderr.splitlines()) == len(words)
    before_kb, peak_kb = map(int, done.stdout.split())
    assert (peak_kb - before_kb) * 1024 < 3 * MAX_BYTES, done.stdout


@pytest.mark.slow
def test_the_largest_image_allowed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (7_000, 7_000), (10, 200, 30)).save(path, compress_level=1)
    assert (read_image(path, SIZE) == (10, 200, 30)).all()


def test_transparent_palettes_and_phone_pictures_are_read(tmp_path: Path) -> None:
    palette = Image.fromarray(random_images(1)[0]).quantize(16)
    palette.save(tmp_path / "palette.png", transparency=bytes(range(16)))
    several = [Image.fromarray(image) for image in random_images(3)]
    several[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=several[1:])
    Image.fromarray(random_images(1)[0]).save(tmp_path / "progressive.jpg", progressive=True)
    for name in ("palette.png", "phone.jpg", "progressive.jpg"):
        assert read_image(tmp_path / name, SIZE).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("suffix", ["gif", "tiff"])
def test_a_gif_and_a_tiff_of_one_frame_are_read(tmp_path: Path, suffix: str) -> None:
    flat = np.full((SIZE, SIZE, 3), (10, 200, 30), np.uint8)
    assert (read_image(save(tmp_path / f"a.{suffix}", flat), SIZE) == flat).all()


def test_stored_orientations_are_heeded_as_when_data_sets_are_prepared(tmp_path: Path) -> None:
    upright = random_images(1)[0]
    stored = [with_orientation(upright, orientation) for orientation in STORED]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"in/{split}.parquet", stored, [0, 1] * 4, ["a", "b"])
    prepared = prepare("turned", tmp_path / "data", SIZE, tmp_path / "in").splits["test"].images_NHWC
    for encoded, image in zip(stored, prepared, strict=True):
        (tmp_path / "a.png").write_bytes(encoded)
        assert np.array_equal(read_image(tmp_path / "a.png", SIZE), image)
        assert np.array_equal(image, upright)


def test_what_is_left_out_of_an_image_is_noted(loaded: LoadedModel, tmp_path: Path) -> None:
    clear = np.dstack([random_images(1)[0], np.zeros((SIZE, SIZE), np.uint8)])
    paths = [tmp_path / "clear.png", tmp_path / "turned.png", save(tmp_path / "usual.png", random_images(1)[0])]
    Image.fromarray(clear).save(paths[0])
    paths[1].write_bytes(with_orientation(random_images(1)[0], 6))
    assert [prediction.notes for prediction in predict_images(loaded, paths, tmp_path / "out")] == [
        ["transparency left out"],
        ["turned upright, as the EXIF orientation says"],
        [],
    ]


def test_an_absent_file_a_folder_and_a_huge_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image .*absent\.png"):
        read_image(tmp_path / "absent.png", SIZE)
    with pytest.raises(DataError, match="no plain file"):
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
