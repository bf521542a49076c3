"""The embedded data set: real handwritten digits on cluttered colour scenes, with the digit's exact mask.

The 1,797 digits of scikit-learn's `load_digits` (8 x 8 pixels, UCI "Optical Recognition of Handwritten Digits") are
divided into blocks first. A scene shows digits of one block only, also in its clutter. A block belongs to train or to
test, and validation takes whole blocks of train (`Split.groups_N`).

The arithmetic is elementwise, with uniform draws, and without sums and transcendental functions, so that every CPU
composes the same bytes. Legend: B scenes of a piece, S scene side in pixels; lengths are shares of S unless said.
"""

from collections.abc import Iterator

import numpy as np

from trainables.data.arrow_store import Split
from trainables.data.catalog import DIGITS
from trainables.data.sources.image_source import ImageSource
from trainables.errors import ConfigError
from trainables.runtime.randomness import stream_seed

NUM_IMAGES = {"train": 10_000, "test": 2_000}
NUM_BLOCKS = {"train": 40, "test": 8}
SMALLEST_PX = 16

DIGIT_SIZE = (0.7, 0.9)
FRAGMENT_CELLS = 4
"""A fragment shows 4 x 4 of another digit's 8 x 8 cells: similar strokes, but not a second readable digit."""
NUM_BLOBS, NUM_FRAGMENTS = 1, 1
BASE = (0.1, 0.5)
"""The scene's base colour, of a range of 1."""
CONTRAST = (0.4, 0.7)
"""How much brighter the ink is than the scene's base colour, of a range of 1."""
NOISE = 0.03
MASK_COVERAGE = 0.5
"""A pixel belongs to the object if ink covers at least this share of it."""
_PIECE = 500


def cluttered_digits_source(image_size: int, seed: int = 0) -> ImageSource:
    """Scenes of `image_size` pixels a side; equal arguments give equal bytes. ConfigError below 16 pixels."""
    if image_size < SMALLEST_PX:
        raise ConfigError(f"image size {image_size} px; cluttered-digits needs {SMALLEST_PX} or more to be readable.")

    def chunks(split: str) -> Iterator[Split]:
        digits_Dhw = load_digit_images()[0]
        for first in range(0, NUM_IMAGES[split], _PIECE):
            rng = np.random.default_rng(stream_seed("cluttered-digits", seed, split, first))
            scenes_B = np.arange(first, min(first + _PIECE, NUM_IMAGES[split]))
            yield compose(scenes_B, digits_Dhw, deal_blocks(seed)[split], image_size, rng)

    return ImageSource(DIGITS, f"scikit-learn load_digits, seed {seed}", NUM_IMAGES, chunks)


def load_digit_images() -> tuple[np.ndarray, np.ndarray]:
    """The source digits (D, 8, 8) float32, ink from 0 to 1, and their labels (D)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int64)


def deal_blocks(seed: int) -> dict[str, np.ndarray]:
    """Divides the source digits into blocks: indices (blocks, 10 classes, k). A digit is in one block, some twice."""
    labels_D = load_digit_images()[1]
    num_blocks = sum(NUM_BLOCKS.values())
    rng = np.random.default_rng(stream_seed("cluttered-digits", seed, "blocks"))
    table = np.empty((num_blocks, 10, -(-int(np.bincount(labels_D).max()) // num_blocks)), np.int64)
    for label in range(10):
        shuffled = rng.permutation(np.flatnonzero(labels_D == label))
        for block in range(num_blocks):
            table[block, label] = np.resize(shuffled[block::num_blocks], table.shape[2])
    return {"train": table[: NUM_BLOCKS["train"]], "test": table[NUM_BLOCKS["train"] :]}


def compose(
    scenes_B: np.ndarray, digits_Dhw: np.ndarray, blocks: np.ndarray, side: int, rng: np.random.Generator
) -> Split:
    """Composes scenes by number. The number decides class and block, so that both are balanced; the rest is random."""
    num = len(scenes_B)
    labels_B, blocks_B = scenes_B % 10, scenes_B // 10 % len(blocks)
    canvas = _Canvas(num, side, rng)
    base_B3 = canvas.draw(*BASE, 3)
    canvas.paint_background(base_B3)
    for _ in range(NUM_BLOBS):
        canvas.lay(canvas.blob(), canvas.draw(0.0, 1.0, 3), canvas.draw(0.3, 0.8))
    for _ in range(NUM_FRAGMENTS):
        others_B = blocks[blocks_B, rng.integers(10, size=num), rng.integers(blocks.shape[2], size=num)]
        glyphs = _windows(digits_Dhw[others_B], rng)
        cell_B = canvas.draw(*DIGIT_SIZE) / np.float32(8)
        height_B, width_B = cell_B * FRAGMENT_CELLS, cell_B * FRAGMENT_CELLS
        coverage = canvas.glyph(glyphs, canvas.draw(-0.1, 0.9), canvas.draw(-0.1, 0.9), height_B, width_B)
        canvas.lay(coverage, _ink(base_B3, canvas), canvas.draw(0.7, 1.0))
    own_B = blocks[blocks_B, labels_B, rng.integers(blocks.shape[2], size=num)]
    height_B = canvas.draw(*DIGIT_SIZE)
    width_B = height_B * canvas.draw(0.85, 1.15)
    top_B, left_B = canvas.draw(0, 1) * (1 - height_B), canvas.draw(0, 1) * (1 - width_B)
    coverage = canvas.glyph(digits_Dhw[own_B], top_B, left_B, height_B, width_B)
    canvas.lay(coverage, _ink(base_B3, canvas), np.ones(num, np.float32))
    canvas.add_noise()
    return Split(canvas.to_uint8(), labels_B, (coverage >= MASK_COVERAGE).astype(np.uint8), blocks_B)


class _Canvas:
    """B square scenes, float32 in 0..1, painted from back to front."""

    def __init__(self, num: int, side: int, rng: np.random.Generator) -> None:
        self._num, self._side, self._rng = num, side, rng
        self._image_BSS3 = np.zeros((num, side, side, 3), np.float32)
        self._centers_S = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)

    def draw(self, low: float, high: float, *shape: int) -> np.ndarray:
        """Uniform draws (B, *shape)."""
        unit = self._rng.random((self._num, *shape), dtype=np.float32)
        return unit * np.float32(high - low) + np.float32(low)

    def paint_background(self, base_B3: np.ndarray) -> None:
        """Paints a base colour that changes smoothly across the scene."""
        grid = base_B3[:, None, None] + self.draw(-0.2, 0.2, 4, 4, 3)
        at_BS = np.broadcast_to(self._centers_S * np.float32(3), (self._num, self._side))
        self._image_BSS3 = _bilinear(grid, at_BS, at_BS)

    def blob(self) -> np.ndarray:
        """Coverage (B, S, S) of an ellipse with a soft edge."""
        across, down = ((self._centers_S - self.draw(0, 1, 1)) / self.draw(0.08, 0.3, 1) for _ in range(2))
        inside = 1 - np.square(down)[:, :, None] - np.square(across)[:, None, :]
        coverage: np.ndarray = np.clip(inside * np.float32(2), 0, 1)
        return coverage

    def glyph(
        self, ink_Bhw: np.ndarray, top_B: np.ndarray, left_B: np.ndarray, height_B: np.ndarray, width_B: np.ndarray
    ) -> np.ndarray:
        """Coverage (B, S, S) of small ink images scaled to boxes; 0 outside the boxes."""
        cells = ink_Bhw.shape[1]
        bordered = np.pad(ink_Bhw, ((0, 0), (1, 1), (1, 1)))
        half = np.float32(0.5)
        down_BS = (self._centers_S - top_B[:, None]) / height_B[:, None] * np.float32(cells) + half
        across_BS = (self._centers_S - left_B[:, None]) / width_B[:, None] * np.float32(cells) + half
        ink = _bilinear(bordered[..., None], down_BS, across_BS)[..., 0]
        coverage: np.ndarray = np.clip((ink - np.float32(0.15)) * np.float32(2), 0, 1)
        return coverage

    def lay(self, coverage_BSS: np.ndarray, color_B3: np.ndarray, opacity_B: np.ndarray) -> None:
        """Paints a colour over the scenes, weighted by coverage and opacity."""
        share = (coverage_BSS * opacity_B[:, None, None])[..., None]
        self._image_BSS3 += share * (color_B3[:, None, None] - self._image_BSS3)

    def add_noise(self) -> None:
        self._image_BSS3 += self.draw(-NOISE, NOISE, self._side, self._side, 3)

    def to_uint8(self) -> np.ndarray:
        levels: np.ndarray = np.floor(np.clip(self._image_BSS3, 0, 1) * np.float32(255) + np.float32(0.5))
        return levels.astype(np.uint8)


def _bilinear(grid_Bhwc: np.ndarray, down_BS: np.ndarray, across_BS: np.ndarray) -> np.ndarray:
    """Bilinear values (B, S, S, c) of grids at row and column coordinates in cells, clamped at the border."""

    def blend(grid: np.ndarray, at_BS: np.ndarray, axis: int) -> np.ndarray:
        last = grid.shape[axis] - 1
        at_BS = np.clip(at_BS, 0, last)
        low_BS = np.minimum(np.floor(at_BS), last - 1)
        shape = [len(grid), 1, 1, 1]
        shape[axis] = at_BS.shape[1]
        index, share = low_BS.astype(np.int64).reshape(shape), (at_BS - low_BS).astype(np.float32).reshape(shape)
        low, high = np.take_along_axis(grid, index, axis), np.take_along_axis(grid, index + 1, axis)
        blended: np.ndarray = low + share * (high - low)
        return blended

    return blend(blend(grid_Bhwc, down_BS, 1), across_BS, 2)


def _windows(digits_Bhw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random square piece of each digit."""
    offsets_B2 = rng.integers(0, digits_Bhw.shape[1] - FRAGMENT_CELLS + 1, size=(len(digits_Bhw), 2))
    cells = np.arange(FRAGMENT_CELLS)
    rows, columns = offsets_B2[:, :1] + cells, offsets_B2[:, 1:] + cells
    window: np.ndarray = digits_Bhw[np.arange(len(digits_Bhw))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return window


def _ink(base_B3: np.ndarray, canvas: _Canvas) -> np.ndarray:
    """Colours (B, 3) brighter than the scene's base, tinted at random; fragments have the same ink as digits."""
    mean_B = (base_B3[:, 0] + base_B3[:, 1] + base_B3[:, 2]) / np.float32(3)
    color_B3: np.ndarray = np.clip((mean_B + canvas.draw(*CONTRAST))[:, None] + canvas.draw(-0.25, 0.25, 3), 0, 1)
    return color_B3
